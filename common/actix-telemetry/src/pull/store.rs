//! HTTP metrics on the store that worker processes share, and its set-up.

#[cfg(feature = "prefork")]
use std::sync::Arc;
use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
};

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
use crate::observe::{DURATION_BOUNDS, Finished, HttpMetrics, Method, SCHEME};

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
    active_by_method: [OnceCell<Gauge>; Method::ALL.len()],
    /// Series that have occurred on this thread. They are few, and a short list is
    /// the quickest to search.
    known: RefCell<Vec<Known>>,
}

#[derive(Clone)]
struct Known {
    method: Method,
    status: Option<StatusCode>,
    protocol_version: Option<&'static str>,
    route: Option<Box<str>>,
    error_type: Option<Box<str>>,
    duration: Histogram,
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
            active_by_method: Default::default(),
            known: RefCell::default(),
        })
    }

    fn active(&self, method: Method) -> &Gauge {
        self.active_by_method[method as usize].get_or_init(|| {
            let labels = [method.as_str(), SCHEME];
            self.active.with_label_values(&labels).clone()
        })
    }
}

impl HttpMetrics for StoreHttpMetrics {
    fn began(&self, method: Method) {
        self.active(method).inc();
    }

    fn ended(&self, request: &Finished<'_>) {
        self.active(request.method).dec();
        let Some(took) = request.duration else {
            return;
        };
        let mut known = self.known.borrow_mut();
        let index = known.iter().position(|known| known.is(request));
        let index = index.unwrap_or_else(|| {
            known.push(Known::of(request, &self.duration));
            known.len() - 1
        });
        known[index].duration.observe(took.as_secs_f64());
    }
}

impl Known {
    fn of(request: &Finished<'_>, vec: &HistogramVec) -> Self {
        let labels = [
            request.error_type.unwrap_or_default(),
            request.method.as_str(),
            request.status.as_ref().map_or("", StatusCode::as_str),
            request.route.unwrap_or_default(),
            request.protocol_version.unwrap_or_default(),
            SCHEME,
        ];
        Self {
            method: request.method,
            status: request.status,
            protocol_version: request.protocol_version,
            route: request.route.map(Box::from),
            error_type: request.error_type.map(Box::from),
            duration: vec.with_label_values(&labels).clone(),
        }
    }

    fn is(&self, request: &Finished<'_>) -> bool {
        self.method == request.method
            && self.status == request.status
            && self.protocol_version == request.protocol_version
            && self.route.as_deref() == request.route
            && self.error_type.as_deref() == request.error_type
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
pub fn prepare(
    start: &mut actix_prefork::Start,
    resource: &Resource,
) -> anyhow::Result<Arc<Directory>> {
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
pub fn exposition(
    collector: MultiProcessCollector,
    snapshots: Option<actix_prefork::Snapshots>,
) -> Exposition {
    Exposition::new(move || {
        let mut text = String::new();
        collector.encode_text(&mut text)?;
        if let Some(snapshots) = &snapshots {
            snapshots.take().encode_text(&mut text);
        }
        Ok(text)
    })
}

#[cfg_attr(not(feature = "prefork"), expect(dead_code))]
fn store_target_info(store: &Store, resource: &Resource) -> Result<(), prometheus::Error> {
    let labels = labels(resource);
    let names: Vec<&str> = labels.keys().map(String::as_str).collect();
    let values: Vec<&str> = labels.values().map(String::as_str).collect();
    let opts = GaugeOpts::new("target_info", "Target metadata").mode(GaugeMode::LiveMax);
    let info = store.gauge_vec(opts, &names)?;
    info.get_metric_with_label_values(&values)?.set(1.0);
    Ok(())
}

/// The attributes of a resource as labels. Of attributes whose names become one label
/// the values are joined, as the [specification] demands.
///
/// [specification]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-attributes
fn labels(resource: &Resource) -> BTreeMap<String, String> {
    let attributes = resource.iter();
    let attributes: BTreeMap<_, _> = attributes
        .filter(|(name, _)| !name.as_str().starts_with("telemetry.sdk."))
        .map(|(name, value)| (name.as_str(), value.to_string()))
        .collect();
    let mut labels = BTreeMap::<_, String>::new();
    for (name, value) in attributes {
        let joined = labels.entry(label_name(name)).or_default();
        if !joined.is_empty() {
            joined.push(';');
        }
        joined.push_str(&value);
    }
    labels
}

/// An attribute's name as a label: what a label may not contain becomes `_`.
fn label_name(name: &str) -> String {
    let mut label = String::new();
    for character in name.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => label.push(character),
            // Several in a row become one.
            _ if label.ends_with('_') => {}
            _ => label.push('_'),
        }
    }
    // A label may not begin with a digit, and names with two underscores at the
    // beginning are Prometheus' own.
    match label.trim_start_matches('_') {
        rest if rest.starts_with(|first: char| first.is_ascii_digit()) => format!("key_{rest}"),
        "" => "key".to_owned(),
        rest => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::*;

    #[test]
    fn attributes_become_labels_and_values_of_one_label_are_joined() {
        let attributes = [("a.b", "1"), ("a_b", "2"), ("1st", "x"), ("__n--é", "y")];
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
        let resource = Resource::builder_empty()
            .with_attributes(attributes)
            .build();
        let expected = [("a_b", "1;2"), ("key_1st", "x"), ("n_", "y")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels(&resource), BTreeMap::from(expected));
    }
}
