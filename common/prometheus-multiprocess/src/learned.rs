//! What is known of the entries of a file.

use std::{ops::Range, sync::Arc};

use crate::format::HEADER;

/// The entries of a file that were looked at.
#[derive(Clone)]
pub(crate) struct Learned {
    /// Those that count. Files that have the same ones share this.
    pub(crate) entries: Arc<Vec<Entry>>,
    /// Where the others have their keys.
    pub(crate) rejected: Vec<Range<usize>>,
    /// The first byte behind them.
    pub(crate) end: usize,
    /// Why one of them does not count.
    pub(crate) unusable: Option<&'static str>,
}

/// Where an entry and its value are, and to which series it belongs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    pub(crate) value: u32,
    pub(crate) series: u32,
}

impl Default for Learned {
    fn default() -> Learned {
        Learned {
            entries: Arc::default(),
            rejected: Vec::new(),
            end: HEADER,
            unusable: None,
        }
    }
}

impl Learned {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.rejected.is_empty()
    }
}
