//! How many requests have not ended, so that the last exports can wait for them.
//! Without exporters nobody waits, and nothing is counted.

#[cfg(feature = "export")]
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

#[cfg(feature = "export")]
static ALL: Mutex<Vec<Weak<AtomicUsize>>> = Mutex::new(Vec::new());

/// The open requests of one application on one thread. A number that all threads change
/// would move between the caches of their processors at each request.
#[cfg_attr(not(feature = "export"), derive(Default))]
pub(super) struct Open(#[cfg(feature = "export")] Arc<AtomicUsize>);

#[cfg(feature = "export")]
impl Default for Open {
    fn default() -> Self {
        let open = Arc::default();
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|open| open.strong_count() > 0);
        all.push(Arc::downgrade(&open));
        Self(open)
    }
}

impl Open {
    // A load and a store are enough, since no other thread changes this one.

    pub(super) fn began(&self) {
        #[cfg(feature = "export")]
        self.0.store(self.0.load(Relaxed) + 1, Release);
    }

    pub(super) fn ended(&self) {
        #[cfg(feature = "export")]
        self.0.store(self.0.load(Relaxed) - 1, Release);
    }
}

/// Waits until every request has ended, for 100 ms at most, which is less than what a
/// worker gets whose master was killed. Requests that a quick stop cuts end on other
/// threads, a moment after serving has ended.
#[cfg(feature = "export")]
pub(crate) async fn all_ended() {
    use std::time::{Duration, Instant};

    use actix_web::rt::time::sleep;

    let is_open = || {
        let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = all.iter().filter_map(Weak::upgrade);
        open.any(|open| open.load(Acquire) > 0)
    };
    let deadline = Instant::now() + Duration::from_millis(100);
    while is_open() && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
}
