//! The metrics of the service, pushed or on the store that the workers share.

use clap::ValueEnum;
use common::{
    multiprocess::{self, Store},
    telemetry::{
        self, Observe, Telemetry,
        pull::{self, MetricsPort, StoreHttpMetrics},
    },
    workers::{MetricsPortOption, ServerOptions, Start},
};
use opentelemetry::{global, metrics};
use prometheus::Opts;

/// How metrics leave the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sink {
    /// Each worker pushes its own over OTLP.
    Push,
    /// Prometheus scrapes /metrics, where any worker answers with the sum over all.
    Pull,
}

/// In the master: the directory of the store, and `/metrics` on a port of its own if
/// it has one.
pub(crate) fn share(
    option: &MetricsPortOption,
    server: &ServerOptions,
    start: &mut Start,
) -> anyhow::Result<impl Sized + use<>> {
    let resource = telemetry::resource(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let directory = pull::prepare(start, &resource)?;
    let mut port: Option<MetricsPort> = None;
    if let Some(listeners) = option.listen(server)? {
        let collector = directory.store().collector()?;
        let opened =
            pull::exposition(collector, Some(start.snapshots.clone())).listen(listeners)?;
        start.notes.push(format!("metrics {}", opened.url()));
        port = Some(opened);
    }
    Ok((port, directory))
}

/// The metrics of a worker.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `/`.
    pub(crate) requests: Counter,
    /// Internal errors.
    pub(crate) errors: Counter,
}

/// A counter of either library.
#[derive(Clone)]
pub(crate) enum Counter {
    Push(metrics::Counter<u64>),
    Pull(multiprocess::Counter),
}

impl Counter {
    pub(crate) fn inc(&self) {
        match self {
            Self::Push(counter) => counter.add(1, &[]),
            Self::Pull(counter) => counter.inc(),
        }
    }
}

impl Metrics {
    /// The counters and the middleware, both on the store if there is one.
    pub(crate) fn register(
        telemetry: &Telemetry,
        store: Option<&Store>,
    ) -> Result<(Self, Observe), prometheus::Error> {
        let counter = |name, description, unit| match store {
            Some(store) => store
                .counter(Opts::new(name, description))
                .map(Counter::Pull),
            None => {
                let meter = global::meter(env!("CARGO_PKG_NAME"));
                let counter = meter.u64_counter(name).with_description(description);
                let counter = counter.with_unit(unit).build();
                // A counter that exists from the start shows its first increase.
                counter.add(0, &[]);
                Ok(Counter::Push(counter))
            }
        };
        let metrics = Self {
            requests: counter("num_requests", "Number of requests", "{request}")?,
            errors: counter("error_count", "Number of errors", "{error}")?,
        };
        let observe = telemetry.observe().skip(["/healthz", "/metrics"]);
        let observe = match store {
            Some(store) => observe.metrics(StoreHttpMetrics::new(store)?),
            None => observe,
        };
        Ok((metrics, observe))
    }
}
