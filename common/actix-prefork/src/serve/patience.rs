//! How long a connection waits for its client to go on.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// A client that is as fast as this, in bytes a second, never runs out of time. It is the
/// `MinRate` that Apache's mod_reqtimeout begins with.
const LEAST_RATE: u32 = 500;

/// Time that a client may keep a connection waiting. Waiting uses it up, and each byte
/// that arrives gives some of it back: a client that sends a byte now and then does not
/// hold a connection for ever, and a slow one with much to send is not cut.
pub(crate) struct Patience {
    /// `None` is no limit.
    whole: Option<Duration>,
    left: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    /// A time of zero is no limit.
    pub(crate) fn new(time: Duration) -> Self {
        Self {
            whole: (!time.is_zero()).then_some(time),
            left: time,
            waiting: None,
        }
    }

    /// Goes on waiting. It is ready when the time is used up.
    pub(crate) fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.whole.is_none() {
            return Poll::Pending;
        }
        let begin = || (Instant::now(), Box::pin(sleep(self.left)));
        let (_, timer) = self.waiting.get_or_insert_with(begin);
        timer.as_mut().poll(cx)
    }

    /// Notes that the client went on by this number of bytes.
    pub(crate) fn went_on(&mut self, bytes: usize) {
        // Nothing to give back to one that was not waited for.
        let (Some(whole), Some((began, _))) = (self.whole, self.waiting.take()) else {
            return;
        };
        let earned = Duration::from_secs(bytes as u64) / LEAST_RATE;
        let left = self.left.saturating_sub(began.elapsed());
        self.left = left.saturating_add(earned).min(whole);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, pause};

    use super::*;

    /// Whether a client that sends `bytes` after each `pause` is waited for `times` times.
    async fn is_waited_for(bytes: usize, gap: Duration, times: u32) -> bool {
        let mut patience = Patience::new(Duration::from_secs(20));
        for _ in 0..times {
            let first = poll_fn(|cx| Poll::Ready(patience.wait(cx))).await;
            advance(gap).await;
            let second = poll_fn(|cx| Poll::Ready(patience.wait(cx))).await;
            if first.is_ready() || second.is_ready() {
                return false;
            }
            patience.went_on(bytes);
        }
        true
    }

    #[actix_web::test]
    async fn a_client_that_sends_a_byte_a_second_runs_out_of_time_and_a_slow_upload_does_not() {
        pause();
        let second = Duration::from_secs(1);
        assert!(is_waited_for(1, second, 19).await);
        assert!(!is_waited_for(1, second, 21).await);
        assert!(is_waited_for(500, second, 1000).await);
        assert!(is_waited_for(8000, 15 * second, 1000).await);
        assert!(!is_waited_for(usize::MAX >> 1, 21 * second, 1).await);
    }

    #[actix_web::test]
    async fn a_time_of_zero_is_no_limit() {
        pause();
        let mut patience = Patience::new(Duration::ZERO);
        advance(Duration::from_secs(86_400)).await;
        assert!(
            poll_fn(|cx| Poll::Ready(patience.wait(cx)))
                .await
                .is_pending()
        );
    }
}
