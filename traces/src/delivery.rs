//! What becomes of the spans: a bounded queue, an export, and a number for
//! everything that is lost on the way.
//!
//! The SDK counts what its queue dropped, but tells the number nobody; what a failed
//! export lost it does not count. So both ends of its batch processor are wrapped:
//! [`Queue`] lets no span in for which there is no room, and [`Delivery`] sees what
//! is taken out and what becomes of it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};

/// How long a trouble that goes on is not mentioned again.
const SILENCE: Duration = Duration::from_secs(60);

/// Where every span is, or ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    capacity: usize,
    closed: AtomicBool,
    /// Waiting for their export.
    queued: AtomicUsize,
    /// In an export that has not ended.
    under_way: AtomicUsize,
    delivered: AtomicU64,
    /// Dropped because the queue was full.
    overflowed: AtomicU64,
    /// In an export that failed.
    undelivered: AtomicU64,
    /// Ended after the last export had begun.
    late: AtomicU64,
    /// Started, and not ended yet.
    open: AtomicUsize,
}

impl Tally {
    /// For a queue of so many spans.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            ..Self::default()
        })
    }

    /// Tells what was lost, after the last export.
    pub(crate) fn report_end(&self) {
        // A span that ends after the provider never gets here.
        let open = self.open.load(SeqCst);
        let left = self.queued.load(SeqCst) + self.under_way.load(SeqCst) + open;
        let too_late = self.late.load(SeqCst) + left as u64;
        let lost = self.lost() + too_late;
        if lost == 0 {
            return;
        }
        log::warn!(
            "{lost} of {} spans were lost: {} did not fit the queue, {} were in exports \
             that failed, {too_late} were left at the end",
            lost + self.delivered.load(SeqCst),
            self.overflowed.load(SeqCst),
            self.undelivered.load(SeqCst),
        );
    }

    /// What is lost so far.
    fn lost(&self) -> u64 {
        self.overflowed.load(SeqCst) + self.undelivered.load(SeqCst)
    }

    /// Takes a place in the queue, if there is one.
    fn enter(&self) -> bool {
        let free = |queued| (queued < self.capacity).then_some(queued + 1);
        self.queued.fetch_update(SeqCst, SeqCst, free).is_ok()
    }
}

/// A batch processor whose queue never overflows unseen.
#[derive(Debug)]
pub(crate) struct Queue<P> {
    processor: P,
    tally: Arc<Tally>,
}

impl<P: SpanProcessor> Queue<P> {
    /// `processor` has to have a queue as large as the tally says.
    pub(crate) fn new(processor: P, tally: Arc<Tally>) -> Self {
        Self { processor, tally }
    }
}

impl<P: SpanProcessor> SpanProcessor for Queue<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.tally.open.fetch_add(1, SeqCst);
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.tally.open.fetch_sub(1, SeqCst);
        if !span.span_context.is_sampled() {
            // A sampler may want a span to be recorded for this process alone.
        } else if self.tally.closed.load(SeqCst) {
            self.tally.late.fetch_add(1, SeqCst);
        } else if self.tally.enter() {
            self.processor.on_end(span);
        } else {
            self.tally.overflowed.fetch_add(1, SeqCst);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.tally.closed.store(true, SeqCst);
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// An exporter that counts what arrives, and tells the operator once when spans
/// stop arriving and once when they arrive again.
#[derive(Debug)]
pub(crate) struct Delivery<E> {
    exporter: E,
    tally: Arc<Tally>,
    /// Where spans go, for messages.
    to: String,
    /// What to look at when they do not get there.
    advice: String,
    told: Mutex<Told>,
}

/// What the operator knows.
#[derive(Debug)]
struct Told {
    failing: bool,
    lost: u64,
    at: Instant,
}

impl<E: SpanExporter> Delivery<E> {
    pub(crate) fn new(exporter: E, tally: Arc<Tally>, to: String, advice: String) -> Self {
        Self {
            exporter,
            tally,
            to,
            advice,
            told: Mutex::new(Told {
                failing: false,
                lost: 0,
                at: Instant::now(),
            }),
        }
    }

    fn tell(&self, result: &OTelSdkResult) {
        let lost = self.tally.lost();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = told.failing != result.is_err();
        let first_loss = told.lost == 0 && lost > 0;
        let again = lost > told.lost && told.at.elapsed() >= SILENCE;
        if !changed && !first_loss && !again {
            return;
        }
        let more = lost - told.lost;
        let (to, capacity) = (&self.to, self.tally.capacity);
        match result {
            Err(error) => log::warn!(
                "spans do not arrive at {to}: {error}; {}. {more} more are lost, \
                 {lost} in all; up to {capacity} wait",
                self.advice
            ),
            Ok(()) if changed => {
                log::warn!("spans arrive again at {to}; {more} were lost");
            }
            Ok(()) => log::warn!(
                "spans come faster than {to} takes them: {more} more did not fit the queue of \
                 {capacity}, {lost} are lost in all"
            ),
        }
        *told = Told {
            failing: result.is_err(),
            lost,
            at: Instant::now(),
        };
    }
}

impl<E: SpanExporter> SpanExporter for Delivery<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.tally.under_way.fetch_add(count, SeqCst);
        self.tally.queued.fetch_sub(count, SeqCst);
        let result = self.exporter.export(batch).await;
        let counter = match result {
            Ok(()) => &self.tally.delivered,
            Err(_) => &self.tally.undelivered,
        };
        counter.fetch_add(count as u64, SeqCst);
        self.tally.under_way.fetch_sub(count, SeqCst);
        self.tell(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
