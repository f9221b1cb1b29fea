//! How many requests have not ended, so that the last exports can wait for them.
//! Without exporters nobody waits, and nothing is counted.

#[cfg(feature = "export")]
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[cfg(feature = "export")]
static OPEN: AtomicUsize = AtomicUsize::new(0);

pub(super) fn began() {
    #[cfg(feature = "export")]
    OPEN.fetch_add(1, SeqCst);
}

pub(super) fn ended() {
    #[cfg(feature = "export")]
    OPEN.fetch_sub(1, SeqCst);
}

/// Waits until every request has ended, for 100 ms at most, which is less than what a
/// worker gets whose master was killed. Requests that a quick stop cuts end on other
/// threads, a moment after serving has ended.
#[cfg(feature = "export")]
pub(crate) async fn all_ended() {
    use std::time::{Duration, Instant};

    use actix_web::rt::time::sleep;

    let deadline = Instant::now() + Duration::from_millis(100);
    while OPEN.load(SeqCst) > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
}
