//! Admits, counts and prints the requests of both protocols.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};

use crate::{
    Config, Fault, Format, Received,
    export::{Export, Rejected},
    feeds::Feeds,
    json,
    printer::Printer,
    rejection::RejectionLog,
    state::State,
    text::{self, Style},
};

/// How many requests are read at once. Together with the body limit, this bounds memory use.
const SLOTS: usize = 16;

/// How long a request waits for one of the [`SLOTS`].
const SLOT_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Intake {
    format: Format,
    style: Style,
    body_limit: usize,
    fault: watch::Sender<Pretence>,
    /// Has one additional reference for each request that [`Fault::Hang`] holds.
    held: Arc<()>,
    slots: Semaphore,
    printer: Printer,
    rejections: RejectionLog,
    /// Where it receives, over HTTP and over gRPC.
    addresses: (SocketAddr, SocketAddr),
    view: bool,
    /// Has one additional reference for each page that is kept up to date.
    pages: Arc<()>,
    feeds: Feeds,
    state: Mutex<State>,
}

/// The simulated failure, and whether the collector is stopping.
#[derive(Clone, Copy)]
struct Pretence {
    fault: Fault,
    stopping: bool,
}

/// Why a request was refused before it was read.
#[derive(Debug)]
pub(crate) enum Unavailable {
    Fault,
    Busy,
    Stopping,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "the collector simulates an outage",
            Self::Busy => "the collector is busy with other requests; try again",
            Self::Stopping => "the collector is stopping",
        })
    }
}

impl Intake {
    pub(crate) fn new(config: Config, http: SocketAddr, grpc: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            format: config.format,
            style: Style {
                color: config.color,
                is_brief: config.view,
            },
            body_limit: config.body_limit,
            fault: watch::Sender::new(Pretence {
                fault: config.fault,
                stopping: false,
            }),
            held: Arc::new(()),
            slots: Semaphore::new(SLOTS),
            printer: Printer::start(config.output)?,
            rejections: RejectionLog::new(),
            addresses: (http, grpc),
            view: config.view,
            pages: Arc::new(()),
            feeds: Feeds::default(),
            state: Mutex::new(State::new(config.keep_records, config.view)),
        })
    }

    /// Where it receives, over HTTP and over gRPC.
    pub(crate) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        self.addresses
    }

    pub(crate) fn has_view(&self) -> bool {
        self.view
    }

    pub(crate) fn pages(&self) -> &Arc<()> {
        &self.pages
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.body_limit
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.fault.send_modify(|pretence| pretence.fault = fault);
    }

    /// Answers the requests that [`Fault::Hang`] holds. Called when the collector stops.
    pub(crate) fn end_hang(&self) {
        self.fault.send_modify(|pretence| pretence.stopping = true);
    }

    /// Waits until a request may be read, or returns why it is refused. Hold the permit until the
    /// request is handled.
    pub(crate) async fn admit(&self) -> Result<SemaphorePermit<'_>, Unavailable> {
        let held = Arc::clone(&self.held);
        let mut pretence = self.fault.subscribe();
        let settled = pretence
            .wait_for(|pretence| pretence.fault != Fault::Hang || pretence.stopping)
            .await
            .map_or(Fault::None, |pretence| pretence.fault);
        drop(held);
        match settled {
            Fault::None => {}
            Fault::Unavailable => return Err(Unavailable::Fault),
            Fault::Hang => return Err(Unavailable::Stopping),
        }
        match timeout(SLOT_TIMEOUT, self.slots.acquire()).await {
            Ok(Ok(slot)) => {
                self.printer.room().await;
                Ok(slot)
            }
            Ok(Err(_)) | Err(_) => Err(Unavailable::Busy),
        }
    }

    /// Counts the data of an export request and queues it for printing. Returns what was refused
    /// of it.
    ///
    /// A decoded request can be a hundred times as large as its body. There is no await point between
    /// decoding and the end of this function, so only one decoded request is in memory.
    pub(crate) fn take(&self, export: Export) -> Rejected {
        let mut state = self.state();
        let mut rejected = Rejected::default();
        state.kept.count_request(export.signal());
        let json = (self.format == Format::Json).then(|| json::line(&export));
        let style = (self.format == Format::Text).then_some(self.style);
        let text = match export {
            Export::Metrics(request) => {
                let before = state.totals.overflowed();
                let text = state.take_metrics(&request, style);
                rejected.items = state.totals.overflowed() - before;
                text
            }
            Export::Logs(request) => state.take_logs(request, style),
            Export::Traces(request) => {
                rejected.items = state.take_traces(request);
                String::new()
            }
        };
        match self.format {
            Format::Text => self.printer.print(text),
            Format::Json => self.printer.print(json.unwrap_or_default()),
            Format::Silent => {}
        }
        rejected
    }

    /// Counts the metrics of a scrape. They are not printed.
    pub(crate) fn take_scrape(&self, request: &ExportMetricsServiceRequest) {
        self.state().take_metrics(request, None);
    }

    /// Logs and counts a request that was answered with an error.
    pub(crate) fn refuse(&self, peer: SocketAddr, protocol: &str, reason: &impl fmt::Display) {
        self.state().kept.count_refusal();
        self.rejections.log(peer, protocol, reason);
    }

    /// Prints the traces that are due, and notes the sums of metrics for the view.
    pub(crate) fn tick(&self) {
        let mut state = self.state();
        if self.view {
            state.sample();
        }
        let due = state.traces.take_due(Instant::now());
        self.print_traces(&due);
    }

    pub(crate) fn received(&self) -> Received {
        let state = self.state();
        let held = Arc::strong_count(&self.held) - 1;
        state.kept.snapshot(&state.instances, &state.totals, held)
    }

    /// Prints the remaining traces, and waits until all output is written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        let rest = state.traces.take_all();
        self.print_traces(&rest);
        drop(state);
        self.printer.finish();
    }

    fn print_traces(&self, traces: &[crate::traces::Trace]) {
        if self.format == Format::Text {
            for trace in traces {
                self.printer.print(text::traces::block(trace, self.style));
            }
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
