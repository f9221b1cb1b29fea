//! What happened to worker processes.

use std::collections::VecDeque;

/// Marks that are remembered.
const MAX_MARKS: usize = 50;

/// Something that happened to a worker process.
pub(crate) struct Mark {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) text: String,
    pub(crate) is_bad: bool,
    /// The service whose process made its first or last export. A harness says more of its workers.
    pub(crate) export_of: Option<String>,
    /// The slot that it happened to, by the number of its harness.
    pub(crate) slot: Option<(u64, u16)>,
}

#[derive(Default)]
pub(super) struct Marks(VecDeque<Mark>);

impl Marks {
    pub(super) fn push(&mut self, mark: Mark) {
        self.0.push_back(mark);
        if self.0.len() > MAX_MARKS {
            self.0.pop_front();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.0.iter()
    }
}
