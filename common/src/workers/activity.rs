//! What a worker counts about itself while it serves.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Counters of one worker process.
///
/// They may lie in memory that the master shares; all zeros is a valid start.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Activity {
    /// Requests that got an answer since the process started.
    requests: AtomicU64,
    /// Connections that are open now.
    connections: AtomicU32,
    /// Connections that were still open when the worker had to stop.
    cut: AtomicU32,
}

impl Activity {
    pub(super) fn request_answered(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts a connection for as long as the returned guard lives.
    pub(super) fn connection(&'static self) -> Connection {
        self.connections.fetch_add(1, Relaxed);
        Connection(self)
    }

    pub(super) fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    #[cfg(feature = "master")]
    pub(super) fn cut(&self) -> u32 {
        self.cut.load(Relaxed)
    }

    #[cfg(feature = "master")]
    pub(super) fn reset(&self) {
        self.requests.store(0, Relaxed);
        self.connections.store(0, Relaxed);
        self.cut.store(0, Relaxed);
    }

    pub(super) fn record_cut(&self) {
        self.cut.store(self.connections(), Relaxed);
    }
}

/// An open connection, counted until it is dropped.
pub(super) struct Connection(&'static Activity);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
