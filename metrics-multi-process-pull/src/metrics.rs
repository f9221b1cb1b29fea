//! The metrics of the service: their names, and how a request becomes numbers.

use std::{
    cell::{OnceCell, RefCell},
    time::Duration,
};

use actix_web::http::StatusCode;
use common::{
    measure::{Method, Observer},
    multiprocess::{
        Counter, Gauge, GaugeMode, GaugeOpts, GaugeVec, Histogram, HistogramVec, Store,
    },
};
use prometheus::{HistogramOpts, Opts};

/// The bounds that the HTTP semantic conventions advise, in seconds.
const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The service speaks plain HTTP. What a proxy before it speaks is not asked:
/// the header that says so comes from the client.
const SCHEME: &str = "http";

/// The metrics of this process.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `GET /`.
    pub(crate) requests: Counter,
    /// Internal errors.
    pub(crate) errors: Counter,
    duration: HistogramVec,
    active: GaugeVec,
}

impl Metrics {
    pub(crate) fn new(store: &Store) -> Result<Self, prometheus::Error> {
        let duration = HistogramOpts::new(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
        );
        let active = GaugeOpts::new(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
        );
        Ok(Self {
            requests: store.counter(Opts::new("num_requests", "Number of requests"))?,
            errors: store.counter(Opts::new("error_count", "Number of errors"))?,
            duration: store.histogram_vec(
                duration.buckets(DURATION_BOUNDS.to_vec()),
                &[
                    "http_request_method",
                    "http_response_status_code",
                    "http_route",
                    "url_scheme",
                ],
            )?,
            // Requests of a process that was killed are over: its share is gone
            // at the next scrape.
            active: store.gauge_vec(
                active.mode(GaugeMode::LiveSum),
                &["http_request_method", "url_scheme"],
            )?,
        })
    }
}

/// Records the requests of one route.
///
/// The labels come from the route and from short lists, never from what the client
/// wrote, so that no client can make a series. A series is looked up once, when it
/// first occurs; from then on a request costs what adding to a few cells costs.
pub(crate) struct HttpObserver {
    metrics: Metrics,
    route: &'static str,
    active: [OnceCell<Gauge>; Method::ALL.len()],
    /// The series of the methods and status codes that have occurred. They are
    /// few, and a list of few is the quickest to search.
    durations: RefCell<Vec<(Method, StatusCode, Histogram)>>,
}

impl HttpObserver {
    pub(crate) fn new(metrics: &Metrics, route: &'static str) -> Self {
        Self {
            metrics: metrics.clone(),
            route,
            active: Default::default(),
            durations: RefCell::default(),
        }
    }

    fn active(&self, method: Method) -> &Gauge {
        self.active[method as usize].get_or_init(|| {
            let vec = &self.metrics.active;
            vec.with_label_values(&[method.as_str(), SCHEME]).clone()
        })
    }
}

impl Observer for HttpObserver {
    fn began(&self, method: Method) {
        self.active(method).inc();
    }

    fn ended(&self, method: Method, status: Option<StatusCode>, took: Duration) {
        self.active(method).dec();
        let Some(status) = status else {
            return;
        };
        let took = took.as_secs_f64();
        let mut durations = self.durations.borrow_mut();
        let known = durations
            .iter()
            .find(|known| (known.0, known.1) == (method, status));
        if let Some((_, _, duration)) = known {
            duration.observe(took);
            return;
        }
        let vec = &self.metrics.duration;
        let labels = [method.as_str(), status.as_str(), self.route, SCHEME];
        let duration = vec.with_label_values(&labels);
        duration.observe(took);
        durations.push((method, status, duration.clone()));
    }
}
