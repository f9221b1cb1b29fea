//! A batch processor for items that are encoded where they are made.
//!
//! The SDK's batch processors send a copy of each item to a thread of their own, where the
//! exporter copies it into messages and encodes those. For two spans or records a request
//! that costs more than the handler does. Here the thread that ends a span, or logs,
//! encodes it once and appends the bytes to the batch under a short lock.
//!
//! The rules are those of the [specification]: a bounded queue, an export as soon as a
//! batch is full or the delay is over, one export at a time.
//!
//! [specification]: https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use crate::{
    delivery::{Delivery, Tally},
    encode, json,
    otlp::{Batch, Client, Exporter, Refused},
};

/// Bytes of a buffer that a thread keeps for its next item.
const KEPT: usize = 16 * 1024;

/// How long [`BatchProcessor::force_flush`] waits, as for the SDK.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFERS: Cell<Item> = const {
        Cell::new(Item {
            scope: Vec::new(),
            bytes: Vec::new(),
        })
    };
}

/// Collects encoded items and has a thread export them.
#[derive(Debug)]
pub(crate) struct BatchProcessor {
    tally: Arc<Tally>,
    queue: Arc<Queue>,
}

/// One encoded item.
#[derive(Debug, Default)]
pub(crate) struct Item {
    /// Items with the same scope are exported together.
    pub(crate) scope: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// Items by scope.
#[derive(Debug, Default)]
struct Items {
    count: usize,
    by_scope: HashMap<Vec<u8>, Vec<u8>>,
}

/// Where batches go to.
#[derive(Debug)]
enum Sink {
    Otlp(Box<Client>),
    /// JSON lines on stdout.
    Console,
}

#[derive(Debug)]
struct Queue {
    batch: Batch,
    sink: Sink,
    state: Mutex<State>,
    /// There is something to export, or a flush or the stop is wanted.
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// As the sink wants it.
    resource: Vec<u8>,
    full: VecDeque<Items>,
    filling: Items,
    /// Who waits for everything so far to be exported.
    flushes: Vec<SyncSender<OTelSdkResult>>,
    stopped: bool,
}

impl BatchProcessor {
    /// For items that messages call `what`. None if there can be no exporter or no
    /// thread, after a warning.
    pub(crate) fn start(exporter: Exporter, batch: Batch, what: &'static str) -> Option<Self> {
        let (sink, to, advice) = match exporter {
            Exporter::Otlp(to) => {
                let client = Box::new(Client::new(*to)?);
                let to = client.destination();
                let (name, advice) = (to.to_string(), to.advice());
                (Sink::Otlp(client), name, advice)
            }
            Exporter::Console => (
                Sink::Console,
                "stdout".to_owned(),
                "is stdout still read?".to_owned(),
            ),
        };
        let queue = Arc::new(Queue {
            batch,
            sink,
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let tally = Tally::new(what, batch.queue);
        let delivery = Delivery::new(tally.clone(), to, advice);
        let thread = thread::Builder::new().name("telemetry-batch".to_owned());
        let run = {
            let queue = queue.clone();
            move || queue.run(&delivery)
        };
        thread
            .spawn(run)
            .inspect_err(|error| log::warn!("{what} are not exported: {error}"))
            .ok()?;
        Some(Self { tally, queue })
    }

    /// Whether items are JSON lines, and not OTLP.
    pub(crate) fn is_console(&self) -> bool {
        matches!(self.queue.sink, Sink::Console)
    }

    #[cfg(feature = "traces")]
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Adds the item that `encode` writes, unless the queue is full.
    pub(crate) fn push(&self, encode: impl FnOnce(&mut Item)) {
        if !self.tally.enter() {
            return;
        }
        // A thread that ends has no buffers any more.
        let mut item = BUFFERS.try_with(Cell::take).unwrap_or_default();
        encode(&mut item);
        if self.queue.lock().add(&item, self.queue.batch.size) {
            self.queue.wake.notify_one();
        }
        for buffer in [&mut item.scope, &mut item.bytes] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        let _ = BUFFERS.try_with(|buffers| buffers.set(item));
    }

    /// Waits until everything so far is exported, for 5 seconds at most.
    pub(crate) fn force_flush(&self) -> OTelSdkResult {
        self.queue.flush(FLUSH_TIMEOUT, false)
    }

    /// Exports the rest, and nothing from then on.
    pub(crate) fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        self.tally.close();
        self.queue.flush(timeout, true)
    }

    /// Before the first item.
    pub(crate) fn set_resource(&self, resource: &opentelemetry_sdk::Resource) {
        let mut encoded = Vec::new();
        encode::resource(&mut encoded, resource);
        self.queue.lock().resource = encoded;
    }
}

impl Drop for BatchProcessor {
    fn drop(&mut self) {
        self.queue.lock().stopped = true;
        self.queue.wake.notify_one();
    }
}

impl State {
    /// Whether this item filled a batch of `size`.
    fn add(&mut self, item: &Item, size: usize) -> bool {
        let by_scope = &mut self.filling.by_scope;
        match by_scope.get_mut(&item.scope) {
            Some(items) => items.extend_from_slice(&item.bytes),
            None => {
                by_scope.insert(item.scope.clone(), item.bytes.clone());
            }
        }
        self.filling.count += 1;
        let is_full = self.filling.count >= size;
        if is_full {
            self.full.push_back(mem::take(&mut self.filling));
        }
        is_full
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, timeout: Duration, stop: bool) -> OTelSdkResult {
        let (flushed, is_flushed) = sync_channel(1);
        {
            let mut state = self.lock();
            if state.stopped {
                return Err(OTelSdkError::AlreadyShutdown);
            }
            state.flushes.push(flushed);
            state.stopped = stop;
        }
        self.wake.notify_one();
        match is_flushed.recv_timeout(timeout) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(OTelSdkError::Timeout(timeout)),
            Err(RecvTimeoutError::Disconnected) => Err(OTelSdkError::AlreadyShutdown),
        }
    }

    /// What the thread does.
    fn run(&self, delivery: &Delivery) {
        // What is logged during an export would be exported next.
        let _suppressed = Context::enter_telemetry_suppressed_scope();
        let mut due = Instant::now() + self.batch.delay;
        loop {
            let (batches, flushes, stopped) = self.wait(due);
            let mut result = Ok(());
            for items in batches {
                let count = items.count;
                let exported = delivery.count(count, || self.export(items));
                result = result.and(exported);
            }
            for flush in flushes {
                let _ = flush.send(result.clone().map_err(OTelSdkError::InternalFailure));
            }
            if stopped {
                return;
            }
            due = Instant::now() + self.batch.delay;
        }
    }

    /// Waits until there is something to export, and takes it.
    fn wait(&self, due: Instant) -> (VecDeque<Items>, Vec<SyncSender<OTelSdkResult>>, bool) {
        let mut state = self.lock();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let is_due = left.is_zero() || state.stopped || !state.flushes.is_empty();
            if is_due || !state.full.is_empty() {
                let mut batches = mem::take(&mut state.full);
                if is_due && state.filling.count > 0 {
                    batches.push_back(mem::take(&mut state.filling));
                }
                return (batches, mem::take(&mut state.flushes), state.stopped);
            }
            let waited = self.wake.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn export(&self, items: Items) -> Result<(), Refused> {
        match &self.sink {
            Sink::Otlp(client) => {
                let resource = self.lock().resource.clone();
                client.send(encode::request(&resource, items.by_scope.iter()))
            }
            Sink::Console => json::write(items.by_scope.values()),
        }
    }
}

#[cfg(all(test, feature = "traces"))]
mod tests;
