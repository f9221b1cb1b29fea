//! HTTP metrics on the store that worker processes share, and its set-up.

use std::cell::OnceCell;
#[cfg(feature = "prefork")]
use std::{fmt::Write as _, sync::Arc};

#[cfg(feature = "prefork")]
use actix_prefork::{Snapshot, Snapshots, Start};
use actix_web::http::StatusCode;
use opentelemetry_sdk::Resource;
use prometheus::HistogramOpts;
#[cfg(feature = "prefork")]
use prometheus_multiprocess::{DIRECTORY_VARIABLE, Directory, MultiProcessCollector, Sweeper};
use prometheus_multiprocess::{
    Gauge, GaugeMode, GaugeOpts, GaugeVec, Histogram, HistogramVec, Store,
};

#[cfg(feature = "prefork")]
use super::exposition::Exposition;
use crate::observe::{DURATION_BOUNDS, Finished, HttpMetrics, Method, Scheme, Series};
#[cfg(feature = "prefork")]
use crate::resource::hand_on;

/// The labels of the duration. A request without one of them has it empty, which to
/// Prometheus is the same as without.
const LABELS: [&str; 6] = [
    "error_type",
    "http_request_method",
    "http_response_status_code",
    "http_route",
    "network_protocol_version",
    "url_scheme",
];

/// `http_server_request_duration_seconds` and `http_server_active_requests`, counted
/// over all processes of the store.
#[derive(Clone)]
pub struct StoreHttpMetrics {
    duration: HistogramVec,
    active: GaugeVec,
    known_active: [[OnceCell<Gauge>; Scheme::ALL.len()]; Method::ALL.len()],
    known: Series<Histogram>,
}

impl StoreHttpMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// If the store has one of the names already, or cannot write its files.
    pub fn new(store: &Store) -> Result<Self, prometheus::Error> {
        let duration = HistogramOpts::new(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
        );
        let active = GaugeOpts::new(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
        );
        Ok(Self {
            duration: store.histogram_vec(duration.buckets(DURATION_BOUNDS.to_vec()), &LABELS)?,
            // Requests of a process that was killed are over: its share is gone at
            // the next scrape.
            active: store.gauge_vec(
                active.mode(GaugeMode::LiveSum),
                &["http_request_method", "url_scheme"],
            )?,
            known_active: Default::default(),
            known: Series::default(),
        })
    }

    fn active(&self, method: Method, scheme: Scheme) -> &Gauge {
        self.known_active[method as usize][scheme as usize].get_or_init(|| {
            let labels = [method.as_str(), scheme.as_str()];
            self.active.with_label_values(&labels).clone()
        })
    }
}

impl HttpMetrics for StoreHttpMetrics {
    fn began(&self, method: Method, scheme: Scheme) {
        self.active(method, scheme).inc();
    }

    fn ended(&self, request: &Finished<'_>) {
        self.active(request.method, request.scheme).dec();
        let Some(took) = request.duration else {
            return;
        };
        let look_up = |request: &Finished<'_>| {
            let labels = [
                request.error_type.unwrap_or_default(),
                request.method.as_str(),
                request.status.as_ref().map_or("", StatusCode::as_str),
                request.route.unwrap_or_default(),
                request.protocol_version.unwrap_or_default(),
                request.scheme.as_str(),
            ];
            self.duration.with_label_values(&labels).clone()
        };
        self.known.with(request, look_up, |series| {
            series.observe(took.as_secs_f64())
        });
    }
}

/// Prepares the directory of the store, in the master's `on_start` hook: that of
/// `PROMETHEUS_MULTIPROC_DIR`, else a private one that is removed at the end.
///
/// The workers find it in their environment. `target_info` tells who is scraped: the
/// server as a whole is one target, with the identity of the master. Files of workers
/// that have ended are cleared up when they end and every two seconds.
///
/// # Errors
///
/// If another master uses the directory, or it cannot be used.
#[cfg(feature = "prefork")]
pub fn prepare(start: &mut Start, resource: &Resource) -> anyhow::Result<Arc<Directory>> {
    hand_on(&mut start.environment);
    let directory = Arc::new(Directory::from_env()?);
    let path = directory.path().display().to_string();
    start.notes.push(format!("directory {path}"));
    start
        .environment
        .insert(DIRECTORY_VARIABLE.to_owned(), path);
    store_target_info(directory.store(), resource)?;
    let sweeper = Sweeper::start(directory.clone())?;
    start.on_exit(move |_| sweeper.wake());
    Ok(directory)
}

/// Answers a scrape with the sum over all processes of the store, and with the
/// metrics of the harness if `snapshots` are given.
#[cfg(feature = "prefork")]
pub fn exposition(collector: MultiProcessCollector, snapshots: Option<Snapshots>) -> Exposition {
    Exposition::with_format(move |format| {
        let mut text = String::new();
        collector.encode_for(format, &mut text)?;
        if let Some(snapshots) = &snapshots {
            let snapshot = snapshots.take();
            snapshot.encode_text(&mut text);
            encode_worker_info(&collector, &snapshot, &mut text);
        }
        Ok(text)
    })
}

/// Appends `worker_info`, which joins what is known of a worker by its slot, by its
/// identifier in the store (`pid`, as Python's client calls that label) and by its
/// process id.
#[cfg(feature = "prefork")]
fn encode_worker_info(collector: &MultiProcessCollector, snapshot: &Snapshot, text: &mut String) {
    let slot_of = |process| {
        let mut slots = snapshot.slots.iter();
        slots.find(|slot| slot.pids.contains(&process))
    };
    text.push_str("# HELP worker_info Slot, identifier and process id of each worker\n");
    text.push_str("# TYPE worker_info gauge\n");
    for (identifier, process) in collector.processes() {
        if let Some(slot) = slot_of(process).map(|slot| slot.slot) {
            // Writing to a string cannot fail, and an identifier is letters and digits.
            let _ = writeln!(
                text,
                "worker_info{{pid=\"{identifier}\",process_pid=\"{process}\",slot=\"{slot}\"}} 1.0"
            );
        }
    }
}

#[cfg_attr(not(feature = "prefork"), expect(dead_code))]
fn store_target_info(store: &Store, resource: &Resource) -> Result<(), prometheus::Error> {
    let labels = super::labels::labels(resource);
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    let values: Vec<&str> = labels.values().map(String::as_str).collect();
    let opts = GaugeOpts::new("target_info", "Target metadata").mode(GaugeMode::LiveMax);
    let info = store.gauge_vec(opts, &names)?;
    info.get_metric_with_label_values(&values)?.set(1.0);
    Ok(())
}
