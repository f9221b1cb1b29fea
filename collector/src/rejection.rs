//! Logs refused requests, at a limited rate so that clients cannot flood the log.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::text::escape::escape;

/// At most this many refusals are logged in one [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Maximum length of a reason in characters. A reason may quote request data.
const MAX_REASON: usize = 300;

pub(crate) struct RejectionLog {
    window: Mutex<Window>,
}

struct Window {
    since: Instant,
    lines: u32,
    suppressed: u64,
}

impl RejectionLog {
    pub(crate) fn new() -> Self {
        Self {
            window: Mutex::new(Window {
                since: Instant::now(),
                lines: 0,
                suppressed: 0,
            }),
        }
    }

    /// Logs that a request or connection of `peer` was refused, unless the limit is reached.
    pub(crate) fn log(&self, peer: SocketAddr, protocol: &str, reason: &impl Display) {
        let (allowed, suppressed) = self.take_line(Instant::now());
        if suppressed > 0 {
            log::warn!("{suppressed} more refusals were not logged");
        }
        if allowed {
            let reason = escape(&reason.to_string(), MAX_REASON);
            log::warn!("refused {protocol} from {peer}: {reason}");
        }
    }

    /// Returns whether a line may be written, and how many were suppressed in the previous window.
    fn take_line(&self, now: Instant) -> (bool, u64) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut suppressed = 0;
        if now.duration_since(window.since) >= WINDOW {
            suppressed = window.suppressed;
            *window = Window {
                since: now,
                lines: 0,
                suppressed: 0,
            };
        }
        if window.lines < LINES {
            window.lines += 1;
            (true, suppressed)
        } else {
            window.suppressed += 1;
            (false, suppressed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_instead_of_logged() {
        let log = RejectionLog::new();
        let start = Instant::now();
        let allowed = (0..1000).filter(|_| log.take_line(start).0).count();
        assert_eq!(allowed, LINES as usize);
        assert_eq!(log.take_line(start + WINDOW), (true, 990));
    }
}
