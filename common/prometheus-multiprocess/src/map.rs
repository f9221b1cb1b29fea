//! Memory that is shared with a file, or will be once the file can be written.
//!
//! Handles point into a mapping for as long as the process lives, so a mapping never moves. What
//! is behind it can change: [`Map::show`] puts a file where memory was.

use std::{
    ffi::c_void,
    fmt,
    fs::File,
    io,
    num::NonZeroUsize,
    ptr::{self, NonNull},
    sync::Arc,
};

use nix::{
    libc::off_t,
    sys::mman::{
        MRemapFlags, MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, mremap, munmap,
    },
};

use crate::{
    atomic::{AtomicU32, AtomicU64},
    cell,
    exemplar::{Entry, ExemplarSlot},
};

/// A mapping of at least eight bytes.
pub(crate) struct Map {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

// SAFETY: a mapping belongs to the process, not to a thread. Its contents are only accessed by
// atomic operations, or under the conditions of `write` and `bytes`.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// The value and the time of an entry.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) value: AtomicU64,
    pub(crate) time: AtomicU64,
}

/// A value and its time, and what keeps them in memory.
#[derive(Clone)]
pub struct Cell {
    slot: NonNull<Slot>,
    /// Which entry it is, for its exemplar.
    pub(crate) entry: Entry,
    _owner: Arc<dyn Send + Sync>,
}

// SAFETY: a `Slot` is two atomics, and the owner of its memory is `Send + Sync`.
unsafe impl Send for Cell {}
// SAFETY: as above.
unsafe impl Sync for Cell {}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cell::get(self.value()).fmt(f)
    }
}

impl Cell {
    /// A cell in a mapping that `owner` keeps.
    pub(crate) fn new(slot: &Slot, entry: Entry, owner: Arc<dyn Send + Sync>) -> Cell {
        Cell {
            slot: NonNull::from(slot),
            entry,
            _owner: owner,
        }
    }

    /// A cell that no file has: what is written to it is seen by nobody.
    pub(crate) fn detached() -> Cell {
        let owner = Arc::new(Slot::default());
        Cell {
            slot: NonNull::from(&*owner),
            entry: Entry::default(),
            _owner: owner,
        }
    }

    pub(crate) fn value(&self) -> &AtomicU64 {
        &self.slot().value
    }

    pub(crate) fn time(&self) -> &AtomicU64 {
        &self.slot().time
    }

    fn slot(&self) -> &Slot {
        // SAFETY: the slot lies in memory that `_owner` keeps: an `Arc<Slot>`, or mappings
        // that stay where they are as long as it lives.
        unsafe { self.slot.as_ref() }
    }
}

const WRITABLE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

impl Map {
    /// Memory of zeros that belongs to no file.
    pub(crate) fn memory(length: usize) -> io::Result<Map> {
        let length = nonzero(length)?;
        // SAFETY: a mapping at an address of the kernel's choice affects no other memory.
        let start = unsafe { mmap_anonymous(None, length, WRITABLE, MapFlags::MAP_SHARED)? };
        Ok(Map { start, length })
    }

    /// `length` bytes of a file from `offset` on, a multiple of the page size.
    pub(crate) fn file(file: &File, offset: usize, length: usize) -> io::Result<Map> {
        Map::of(file, offset, length, WRITABLE)
    }

    /// The first `length` bytes of a file that may be open for reading only.
    pub(crate) fn read_only(file: &File, length: usize) -> io::Result<Map> {
        Map::of(file, 0, length, ProtFlags::PROT_READ)
    }

    fn of(file: &File, offset: usize, length: usize, access: ProtFlags) -> io::Result<Map> {
        let length = nonzero(length)?;
        let flags = MapFlags::MAP_SHARED;
        // SAFETY: as in `memory`.
        let start = unsafe { mmap(None, length, access, flags, file, offset as off_t)? };
        Ok(Map { start, length })
    }

    /// A second mapping of the same memory. It keeps that memory when this mapping shows another.
    pub(crate) fn alias(&self) -> io::Result<Map> {
        // SAFETY: with an old size of zero, mremap(2) makes a new mapping of the pages of a shared
        // one and leaves the old one alone.
        let start = unsafe {
            let flags = MRemapFlags::MREMAP_MAYMOVE;
            mremap(self.start, 0, self.length.get(), flags, None)?
        };
        Ok(Map {
            start,
            length: self.length,
        })
    }

    /// Shows `file` from `offset` on in the place of what is shown now. The file must be so long.
    pub(crate) fn show(&self, file: &File, offset: usize) -> io::Result<()> {
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        // SAFETY: MAP_FIXED replaces just the pages of this mapping. They stay mapped and writable,
        // and everything that points to them is an atomic.
        unsafe {
            let start = NonZeroUsize::new(self.start.as_ptr() as usize);
            mmap(start, self.length, WRITABLE, flags, file, offset as off_t)?;
        }
        Ok(())
    }

    pub(crate) fn length(&self) -> usize {
        self.length.get()
    }

    /// Gives back the pages that this process has of a file; the next access reads them again.
    pub(crate) fn release(&self) {
        let advice = MmapAdvise::MADV_DONTNEED;
        // SAFETY: the range is the mapping, and the advice does not change what is read from the
        // mapping of a file.
        let _ = unsafe { madvise(self.start, self.length(), advice) };
    }

    /// The field `used` in the header of a file that is mapped from its start.
    pub(crate) fn used(&self) -> &AtomicU32 {
        // SAFETY: a mapping is aligned to pages and has eight bytes at least. The field is
        // accessed by atomic operations alone.
        unsafe { self.start.cast::<AtomicU32>().as_ref() }
    }

    /// The slot at `offset`.
    pub(crate) fn slot(&self, offset: usize) -> &Slot {
        assert!(offset.is_multiple_of(8) && offset + 16 <= self.length());
        // SAFETY: the slot is aligned and within the mapping, as just asserted. Slots are accessed
        // by atomic operations alone.
        unsafe { &*self.start.as_ptr().byte_add(offset).cast::<Slot>() }
    }

    /// The exemplar at `offset`.
    pub(crate) fn exemplar(&self, offset: usize) -> &ExemplarSlot {
        let size = size_of::<ExemplarSlot>();
        assert!(offset.is_multiple_of(8) && offset + size <= self.length());
        // SAFETY: the slot is aligned and within the mapping, as just asserted. Slots are accessed
        // by atomic operations alone.
        unsafe { &*self.start.as_ptr().byte_add(offset).cast::<ExemplarSlot>() }
    }

    /// Writes to bytes that nobody reads yet.
    ///
    /// # Safety
    ///
    /// No other thread or process may access these bytes.
    pub(crate) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.length());
        // SAFETY: the range is within the mapping, as just asserted; the caller has it alone.
        unsafe {
            let target = self.start.as_ptr().byte_add(offset).cast();
            ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
    }

    /// Bytes that no longer change.
    ///
    /// # Safety
    ///
    /// No thread or process may write to these bytes while the result is in use.
    pub(crate) unsafe fn bytes(&self, start: usize, end: usize) -> &[u8] {
        assert!(start <= end && end <= self.length());
        // SAFETY: the range is within the mapping, as just asserted; nobody writes to it.
        unsafe {
            let first = self.start.as_ptr().byte_add(start).cast();
            std::slice::from_raw_parts(first, end - start)
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference outlives it.
        let _ = unsafe { munmap(self.start, self.length()) };
    }
}

fn nonzero(length: usize) -> io::Result<NonZeroUsize> {
    NonZeroUsize::new(length)
        .filter(|length| length.get() >= 8)
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    /// The kernel must let threads go on while it changes what is behind their addresses.
    #[test]
    fn no_addition_is_lost_while_a_file_takes_the_place_of_memory() {
        let path = std::env::temp_dir().join(format!("map-{}", std::process::id()));
        let map = Map::memory(65_536).unwrap();
        let done = AtomicBool::new(false);
        let mut kept = Vec::new();
        let added: u64 = std::thread::scope(|scope| {
            let adding: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut times = 0;
                        while !done.load(Relaxed) {
                            cell::add(&map.slot(8).value, 1.0);
                            times += 1;
                        }
                        times
                    })
                })
                .collect();
            for _ in 0..200 {
                let file = File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)
                    .unwrap();
                std::fs::remove_file(&path).unwrap();
                file.set_len(65_536).unwrap();
                let before = map.alias().unwrap();
                map.show(&file, 0).unwrap();
                kept.push(before);
            }
            done.store(true, Relaxed);
            adding
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        kept.push(map);
        let found: f64 = kept.iter().map(|map| cell::get(&map.slot(8).value)).sum();
        assert_eq!(found, added as f64);
    }
}
