//! The metrics of the service: their names, and how a request becomes numbers.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::http::StatusCode;
use common::measure::{Method, Observer};
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Counter, Histogram, Meter},
};
use opentelemetry_semantic_conventions::{
    attribute::{HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, URL_SCHEME},
    metric::{HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION},
};

/// The bounds that the HTTP semantic conventions advise, in seconds.
const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The instruments. They are made once and cloned: making one is as expensive as
/// five measurements.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `GET /`.
    pub(crate) requests: Counter<u64>,
    /// Internal errors.
    pub(crate) errors: Counter<u64>,
    duration: Histogram<f64>,
    active: Arc<ActiveRequests>,
}

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let metrics = Self {
            requests: meter
                .u64_counter("num_requests")
                .with_description("Number of requests")
                .with_unit("{request}")
                .build(),
            errors: meter
                .u64_counter("error_count")
                .with_description("Number of errors")
                .with_unit("{error}")
                .build(),
            duration: meter
                .f64_histogram(HTTP_SERVER_REQUEST_DURATION)
                .with_description("Duration of HTTP server requests.")
                .with_unit("s")
                .with_boundaries(DURATION_BOUNDS.to_vec())
                .build(),
            active: ActiveRequests::register(meter),
        };
        // A counter that is there from the start shows its first increase, and an
        // endpoint that does not answer is told before the first request.
        metrics.requests.add(0, &[]);
        metrics.errors.add(0, &[]);
        metrics
    }
}

/// Counts requests in progress, and is asked for the numbers at each export: two
/// atomic additions for a request, where an instrument that is told of each change
/// looks up its attributes twice.
#[derive(Default)]
struct ActiveRequests([Active; Method::ALL.len()]);

#[derive(Default)]
struct Active {
    now: AtomicI64,
    /// Whether there ever was such a request: others have no series.
    seen: AtomicBool,
}

impl ActiveRequests {
    fn register(meter: &Meter) -> Arc<Self> {
        let active = Arc::new(Self::default());
        let observed = active.clone();
        meter
            .i64_observable_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
            .with_description("Number of active HTTP server requests.")
            .with_unit("{request}")
            .with_callback(move |instrument| observed.observe(instrument))
            .build();
        active
    }

    fn observe(&self, instrument: &dyn AsyncInstrument<i64>) {
        for (method, active) in Method::ALL.iter().zip(&self.0) {
            if active.seen.load(Relaxed) {
                let attributes = [
                    KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
                    KeyValue::new(URL_SCHEME, SCHEME),
                ];
                instrument.observe(active.now.load(Relaxed), &attributes);
            }
        }
    }

    fn began(&self, method: Method) {
        let active = &self.0[method as usize];
        active.now.fetch_add(1, Relaxed);
        if !active.seen.load(Relaxed) {
            active.seen.store(true, Relaxed);
        }
    }

    fn ended(&self, method: Method) {
        self.0[method as usize].now.fetch_sub(1, Relaxed);
    }
}

/// The service speaks plain HTTP. What a proxy before it speaks is not asked:
/// the header that says so comes from the client.
const SCHEME: &str = "http";

/// Records the requests of one route.
///
/// The attributes come from the route and from short lists, never from what the
/// client wrote, so that no client can make a series. They are made once for each
/// combination that occurs; always in the same order, which the SDK looks up
/// twice as fast as any other.
pub(crate) struct HttpObserver {
    metrics: Metrics,
    route: &'static str,
    /// The attributes of the methods and status codes that have occurred. They
    /// are few, and a list of few is the quickest to search.
    known: RefCell<Vec<(Method, StatusCode, Attributes)>>,
}

type Attributes = Rc<[KeyValue; 4]>;

impl HttpObserver {
    pub(crate) fn new(metrics: &Metrics, route: &'static str) -> Self {
        Self {
            metrics: metrics.clone(),
            route,
            known: RefCell::default(),
        }
    }

    fn attributes(&self, method: Method, status: StatusCode) -> Attributes {
        let mut known = self.known.borrow_mut();
        let wanted =
            |entry: &&(Method, StatusCode, Attributes)| (entry.0, entry.1) == (method, status);
        if let Some((_, _, attributes)) = known.iter().find(wanted) {
            return attributes.clone();
        }
        let attributes = Rc::new([
            KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
            KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())),
            KeyValue::new(HTTP_ROUTE, self.route),
            KeyValue::new(URL_SCHEME, SCHEME),
        ]);
        known.push((method, status, attributes.clone()));
        attributes
    }
}

impl Observer for HttpObserver {
    fn began(&self, method: Method) {
        self.metrics.active.began(method);
    }

    fn ended(&self, method: Method, status: Option<StatusCode>, took: Duration) {
        self.metrics.active.ended(method);
        if let Some(status) = status {
            let attributes = self.attributes(method, status);
            let duration = &self.metrics.duration;
            duration.record(took.as_secs_f64(), &*attributes);
        }
    }
}
