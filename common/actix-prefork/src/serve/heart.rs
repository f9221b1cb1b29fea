//! The heartbeat of the serving threads.
//!
//! Each thread beats in turn with the requests that it serves: a handler that
//! blocks the thread keeps its heart still. What the worker shows is the beat of
//! the thread that is most behind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::rt::time;

use crate::{activity::Activity, clock::monotonic};

/// How often a thread beats.
pub(crate) const BEAT: Duration = Duration::from_millis(50);

/// The last beat of each thread, in milliseconds.
#[derive(Clone)]
pub(crate) struct Heart {
    threads: Arc<[AtomicU64]>,
    activity: &'static Activity,
}

impl Heart {
    pub(crate) fn new(threads: u16, activity: &'static Activity) -> Self {
        Self {
            threads: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            activity,
        }
    }

    /// Notes that the thread with this index runs.
    pub(crate) fn beat(&self, index: usize) {
        self.threads[index].store(monotonic().as_millis() as u64, Relaxed);
        let beats = self.threads.iter().map(|beat| beat.load(Relaxed));
        let oldest = beats.min().unwrap_or_default();
        self.activity.beat(Duration::from_millis(oldest));
    }

    /// Beats for as long as the thread lives.
    pub(crate) async fn keep_beating(&self, index: usize) {
        loop {
            time::sleep(BEAT).await;
            self.beat(index);
        }
    }
}
