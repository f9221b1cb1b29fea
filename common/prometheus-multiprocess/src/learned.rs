//! What is known of the entries of a file.

use std::sync::Arc;

use crate::format::HEADER;

/// The entries of a file that were looked at.
#[derive(Clone)]
pub(crate) struct Learned {
    /// Files that have the same ones share this.
    pub(crate) entries: Arc<Vec<Entry>>,
    /// The first byte behind them.
    pub(crate) end: usize,
    /// Why one of them does not count.
    pub(crate) unusable: Option<&'static str>,
}

/// Where an entry has its value, and to which series it belongs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: u32,
    pub(crate) series: u32,
}

/// The series of an entry that does not count.
pub(crate) const REJECTED: u32 = u32::MAX;

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            entries: Arc::default(),
            end: HEADER,
            unusable: None,
        }
    }
}

impl Learned {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where the entry with this number begins.
    pub(crate) fn start(&self, number: usize) -> usize {
        match number.checked_sub(1) {
            Some(before) => self.entries[before].value as usize + 16,
            None => HEADER,
        }
    }

    /// The entry with this number, if it is at this place.
    pub(crate) fn at(&self, number: usize, start: usize, value: usize) -> Option<&Entry> {
        let entry = self.entries.get(number)?;
        (entry.value as usize == value && self.start(number) == start).then_some(entry)
    }
}
