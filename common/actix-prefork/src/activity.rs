//! What a worker tells about itself while it serves.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What one worker process counts.
///
/// It may lie in memory that the master shares; all zeros is a valid start.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Activity {
    /// Requests that got an answer since the process started.
    requests: AtomicU64,
    /// When every serving thread was known to be running, in milliseconds of
    /// `CLOCK_MONOTONIC`; 0 before the first time.
    beat: AtomicU64,
    /// Connections that are open now.
    connections: AtomicU32,
    /// Connections that were still open when the worker had to stop.
    cut: AtomicU32,
    /// Whether there may be no more connections than there are.
    full: AtomicU32,
}

impl Activity {
    pub(crate) fn request_answered(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts a connection for as long as the returned guard lives.
    pub(crate) fn connection(&'static self) -> Connection {
        self.connections.fetch_add(1, Relaxed);
        Connection(self)
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Notes whether new connections have to wait because there are too many.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full.into(), Relaxed);
    }

    pub(crate) fn record_cut(&self) {
        self.cut.store(self.connections(), Relaxed);
    }

    /// Notes that every serving thread ran at this time, or later.
    pub(crate) fn beat(&self, at: Duration) {
        self.beat.store(at.as_millis() as u64, Relaxed);
    }
}

#[cfg(feature = "master")]
impl Activity {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Relaxed) != 0
    }

    pub(crate) fn cut(&self) -> u32 {
        self.cut.load(Relaxed)
    }

    /// When every serving thread was known to be running, on the clock of [`monotonic`](crate::clock::monotonic).
    pub(crate) fn last_beat(&self) -> Duration {
        Duration::from_millis(self.beat.load(Relaxed))
    }

    pub(crate) fn reset(&self) {
        self.requests.store(0, Relaxed);
        self.beat.store(0, Relaxed);
        self.connections.store(0, Relaxed);
        self.cut.store(0, Relaxed);
        self.full.store(0, Relaxed);
    }
}

/// An open connection, counted until it is dropped.
pub(crate) struct Connection(&'static Activity);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
