//! The metrics of the service, pushed or on the store that the workers share.

use common::{
    multiprocess::{Store, StoreMeterProvider},
    telemetry::{
        self, Observe, OtelHttpMetrics, Telemetry,
        prefork::{StorePush, push_store},
        pull::{self, MetricsPort},
    },
    workers::{MetricsPortOption, ServerOptions, Start},
};
use opentelemetry::{global, metrics::Counter};

use crate::{options::Sink, telemetry::INTERVAL};

const NAME: &str = env!("CARGO_PKG_NAME");

/// In the master: the directory of the store, the push of its sum, and `/metrics` on a
/// port of its own if it has one.
pub(crate) fn share(
    sink: Sink,
    option: &MetricsPortOption,
    server: &ServerOptions,
    start: &mut Start,
) -> anyhow::Result<impl Sized + use<>> {
    let resource = telemetry::resource(NAME, env!("CARGO_PKG_VERSION"));
    let directory = pull::prepare(start, &resource)?;
    let mut port: Option<MetricsPort> = None;
    if let Some(listeners) = option.listen(server)? {
        let collector = directory.store().collector()?;
        let opened =
            pull::exposition(collector, Some(start.snapshots.clone())).listen(listeners)?;
        start.notes.push(format!("metrics {}", opened.url()));
        port = Some(opened);
    }
    let mut push: Option<StorePush> = None;
    if sink == Sink::PushSum {
        push = Some(push_store(start, directory.clone(), resource, INTERVAL)?);
    }
    Ok((port, push, directory))
}

/// The metrics of a worker.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `/`.
    pub(crate) requests: Counter<u64>,
    /// Internal errors.
    pub(crate) errors: Counter<u64>,
}

impl Metrics {
    /// The counters and the middleware, both on the store if there is one.
    pub(crate) fn register(telemetry: &Telemetry, store: Option<&Store>) -> (Self, Observe) {
        let mut observe = telemetry.observe().skip(["/healthz", "/metrics"]);
        if let Some(store) = store {
            global::set_meter_provider(StoreMeterProvider::new(store));
            observe = observe.metrics(OtelHttpMetrics::new(&global::meter(NAME)));
        }
        let meter = global::meter(NAME);
        let counter = |name, description, unit| {
            let counter = meter.u64_counter(name).with_description(description);
            let counter = counter.with_unit(unit).build();
            // A counter that exists from the start shows its first increase.
            counter.add(0, &[]);
            counter
        };
        let metrics = Self {
            requests: counter("num_requests", "Number of requests", "{request}"),
            errors: counter("error_count", "Number of errors", "{error}"),
        };
        (metrics, observe)
    }
}
