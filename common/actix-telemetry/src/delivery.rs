//! What becomes of log records and spans: a bounded queue, an export, and a count of
//! everything that is lost on the way.
//!
//! [`Tally::enter`] lets no item into the queue for which there is no room, and
//! [`Delivery`] sees what is taken out and what becomes of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;

use crate::otlp::Refused;

/// How long a problem that goes on is not mentioned again.
const SILENCE: Duration = Duration::from_secs(60);

/// Every tally of the process, for the report at its end.
static ALL: Mutex<Vec<Arc<Tally>>> = Mutex::new(Vec::new());

/// Where every item of a signal is, or ended.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What is counted, as in "12 spans were lost".
    what: &'static str,
    capacity: usize,
    closed: AtomicBool,
    /// Started and not ended: spans alone.
    open: AtomicUsize,
    /// Waiting for their export.
    queued: AtomicUsize,
    /// In an export that has not ended.
    under_way: AtomicUsize,
    delivered: AtomicU64,
    /// Dropped because the queue was full.
    overflowed: AtomicU64,
    /// In an export that failed.
    undelivered: AtomicU64,
    /// Came after the last export had begun.
    late: AtomicU64,
    /// The losses were reported, and nothing is to contradict that.
    ended: AtomicBool,
}

impl Tally {
    /// For a queue of `capacity` items.
    pub(crate) fn new(what: &'static str, capacity: usize) -> Arc<Self> {
        let tally = Arc::new(Self {
            what,
            capacity,
            closed: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            delivered: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            undelivered: AtomicU64::new(0),
            late: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(tally.clone());
        tally
    }

    /// Takes a place in the queue. Whatever gets none is counted as lost.
    pub(crate) fn enter(&self) -> bool {
        if self.closed.load(SeqCst) {
            self.late.fetch_add(1, SeqCst);
            return false;
        }
        let free = |queued| (queued < self.capacity).then_some(queued + 1);
        let entered = self.queued.fetch_update(SeqCst, SeqCst, free).is_ok();
        if !entered {
            self.overflowed.fetch_add(1, SeqCst);
        }
        entered
    }

    /// A span started, and is lost if it does not end.
    #[cfg(feature = "traces")]
    pub(crate) fn started(&self) {
        self.open.fetch_add(1, SeqCst);
    }

    #[cfg(feature = "traces")]
    pub(crate) fn ended(&self) {
        self.open.fetch_sub(1, SeqCst);
    }

    /// From now on nothing enters.
    pub(crate) fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    /// Delivered, overflowed, undelivered and late.
    #[cfg(all(test, feature = "traces"))]
    pub(crate) fn counts(&self) -> (u64, u64, u64, u64) {
        let all = [
            &self.delivered,
            &self.overflowed,
            &self.undelivered,
            &self.late,
        ];
        all.map(|count| count.load(SeqCst)).into()
    }

    /// Lost so far.
    fn lost(&self) -> u64 {
        self.overflowed.load(SeqCst) + self.undelivered.load(SeqCst)
    }

    fn report_end(&self) {
        self.ended.store(true, SeqCst);
        let left = [&self.queued, &self.under_way, &self.open];
        let left: usize = left.iter().map(|count| count.load(SeqCst)).sum();
        let too_late = self.late.load(SeqCst) + left as u64;
        let lost = self.lost() + too_late;
        if lost == 0 {
            return;
        }
        log::warn!(
            "{lost} of {} {} were lost: {} did not fit the queue, {} were in failed exports, \
             {too_late} were left at the end",
            lost + self.delivered.load(SeqCst),
            self.what,
            self.overflowed.load(SeqCst),
            self.undelivered.load(SeqCst),
        );
    }
}

/// Reports what was lost, once, after the last export.
pub(crate) fn report_losses() {
    let all = std::mem::take(&mut *ALL.lock().unwrap_or_else(PoisonError::into_inner));
    let _to_the_console_only = Context::enter_telemetry_suppressed_scope();
    for tally in all {
        tally.report_end();
    }
}

/// Counts what an exporter delivers, and logs once when items stop arriving and once
/// when they arrive again.
#[derive(Debug)]
pub(crate) struct Delivery {
    tally: Arc<Tally>,
    /// The endpoint, for messages.
    to: String,
    /// What to check if nothing arrives there.
    advice: String,
    reported: Mutex<Reported>,
}

/// What was logged last.
#[derive(Debug)]
struct Reported {
    failing: bool,
    lost: u64,
    at: Instant,
}

impl Delivery {
    pub(crate) fn new(tally: Arc<Tally>, to: String, advice: String) -> Self {
        Self {
            tally,
            to,
            advice,
            reported: Mutex::new(Reported {
                failing: false,
                lost: 0,
                at: Instant::now(),
            }),
        }
    }

    /// Runs an export of `count` items and counts them.
    pub(crate) fn count(
        &self,
        count: usize,
        export: impl FnOnce() -> Result<(), Refused>,
    ) -> Result<(), String> {
        let tally = &self.tally;
        tally.under_way.fetch_add(count, SeqCst);
        tally.queued.fetch_sub(count, SeqCst);
        let result = export();
        let all = count as u64;
        let refused = match &result {
            Ok(()) => 0,
            Err(refused) => refused.items.map_or(all, |items| items.min(all)),
        };
        tally.delivered.fetch_add(all - refused, SeqCst);
        tally.undelivered.fetch_add(refused, SeqCst);
        tally.under_way.fetch_sub(count, SeqCst);
        let result = result.map_err(|refused| refused.text);
        self.report(&result);
        result
    }

    fn report(&self, result: &Result<(), String>) {
        if self.tally.ended.load(SeqCst) {
            return;
        }
        let lost = self.tally.lost();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = reported.failing != result.is_err();
        let first_loss = reported.lost == 0 && lost > 0;
        let again = lost > reported.lost && reported.at.elapsed() >= SILENCE;
        if !changed && !first_loss && !again {
            return;
        }
        let more = lost - reported.lost;
        let (what, to, capacity) = (self.tally.what, &self.to, self.tally.capacity);
        match result {
            Err(error) => log::warn!(
                "{what} do not arrive at {to}: {error}; {}. {more} more are lost, {lost} in \
                 total; the queue holds up to {capacity}",
                self.advice
            ),
            Ok(()) => {
                // Exports run where nothing is recorded, so that they do not cause the
                // next one. This record is for the collector as well.
                let _recorded = Context::new().attach();
                if changed {
                    log::warn!(lost = more; "{what} arrive again at {to}; {more} were lost");
                } else {
                    log::warn!(
                        lost = more;
                        "the queue of {capacity} {what} is full, since {to} is too slow: {more} \
                         more are lost, {lost} in total"
                    );
                }
            }
        }
        *reported = Reported {
            failing: result.is_err(),
            lost,
            at: Instant::now(),
        };
    }
}
