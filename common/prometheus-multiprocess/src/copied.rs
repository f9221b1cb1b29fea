//! A file of another program, which is read by system calls.
//!
//! Files that are read one after the other mostly have the same entries, but for their values. So
//! the keys are kept once for all of them, which also lets them stay in the processor's cache.

use std::{path::Path, sync::Arc};

use crate::{
    format::{self, EntryLayout, HEADER},
    read,
};

/// What was read of a file.
#[derive(Default)]
pub(crate) struct Copied {
    /// A file with the same entries.
    image: Arc<Vec<u8>>,
    /// The value and the time of each entry.
    values: Vec<[f64; 2]>,
}

/// What a thread needs to read files.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Room for a copy of a file.
    bytes: Vec<u8>,
    /// The image of the file that was read before.
    last: Arc<Vec<u8>>,
}

impl Scratch {
    /// Reads a file and calls `with` for its bytes.
    pub(crate) fn read<T>(
        &mut self,
        path: &Path,
        with: impl FnOnce(&[u8], &mut Scratch) -> T,
    ) -> Result<T, &'static str> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let read = read::whole(path, &mut bytes).map(|()| with(&bytes, self));
        self.bytes = bytes;
        read
    }
}

impl Copied {
    /// Goes on with the bytes of the file as it is now. Returns up to which byte it has the same
    /// entries as before.
    pub(crate) fn replace(&mut self, bytes: &[u8], scratch: &mut Scratch) -> usize {
        let last = &mut scratch.last;
        let same = take_values(bytes, &self.image, &mut self.values);
        if same < bytes.len() {
            self.image = match take_values(bytes, last, &mut self.values) == bytes.len() {
                true => Arc::clone(last),
                false => Arc::new(bytes.to_vec()),
            };
            take_values(bytes, &self.image, &mut self.values);
        }
        last.clone_from(&self.image);
        same
    }

    /// Bytes of a length field or a key.
    pub(crate) fn bytes(&self, start: usize, end: usize) -> &[u8] {
        &self.image[start..end]
    }

    /// The value and the time of each entry, in their order.
    pub(crate) fn values(&self) -> &[[f64; 2]] {
        &self.values
    }
}

/// Takes the values and the times of the entries that a file has in common with `image`. Returns up
/// to which byte that is.
fn take_values(bytes: &[u8], image: &[u8], values: &mut Vec<[f64; 2]>) -> usize {
    values.clear();
    let length_at = |at: usize| i32::from_ne_bytes([0, 1, 2, 3].map(|byte| image[at + byte]));
    let used = bytes.len().min(image.len());
    let mut end = HEADER;
    while let Some(EntryLayout { value, .. }) = format::layout(length_at, end, used)
        && bytes[end..value] == image[end..value]
    {
        values.push([value, value + 8].map(|at| f64_at(bytes, at)));
        end = value + 16;
    }
    end
}

fn f64_at(bytes: &[u8], offset: usize) -> f64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    f64::from_ne_bytes(value)
}
