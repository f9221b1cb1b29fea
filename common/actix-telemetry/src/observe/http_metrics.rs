//! What the middleware tells a metrics library, and OpenTelemetry as one of them.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_web::http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Histogram, Meter},
};
use opentelemetry_semantic_conventions::{
    attribute::{
        ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
        NETWORK_PROTOCOL_VERSION, URL_SCHEME,
    },
    metric::{HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION},
};

use super::method::Method;

/// Bucket bounds of `http.server.request.duration`, in seconds, as the [conventions]
/// advise.
///
/// [conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
pub const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The attribute `url.scheme`. A service behind a proxy speaks plain HTTP, and the
/// header that says what the proxy speaks comes from the client.
pub(crate) const SCHEME: &str = "http";

/// Turns the begin and the end of requests into numbers.
///
/// Each serving thread has its own clone, so a cache in a `RefCell` is enough.
pub trait HttpMetrics: Clone + Send + 'static {
    /// A request arrived.
    fn began(&self, method: Method);

    /// The request that began is over. Called once for each [`Self::began`], also
    /// where the handler panics or the client goes away.
    fn ended(&self, request: &Finished<'_>);
}

/// A request that is over.
///
/// Every field has few values, whatever clients send.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Finished<'a> {
    /// The method.
    pub method: Method,
    /// The pattern of the route, such as `/orders/{id}`; `None` if no route matched.
    pub route: Option<&'a str>,
    /// The status of the response; `None` if the request was cut before it.
    pub status: Option<StatusCode>,
    /// Why the request failed: the status code of a 5xx response, the type of the
    /// handler's error if the middleware knows it, `panic`, or `cancelled` if the
    /// client went away.
    pub error_type: Option<&'a str>,
    /// The version of HTTP, such as `1.1`.
    pub protocol_version: Option<&'static str>,
    /// Time since the request arrived. `None` for upgrades and event streams, whose
    /// life is no latency.
    pub duration: Option<Duration>,
}

/// `http.server.request.duration` and `http.server.active_requests`, after the
/// [HTTP semantic conventions].
///
/// [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
#[derive(Clone)]
pub struct OtelHttpMetrics {
    duration: Histogram<f64>,
    active: Arc<ActiveRequests>,
    /// Attribute sets that have occurred on this thread. They are few, and a short
    /// list is the quickest to search.
    known: RefCell<Vec<Known>>,
}

#[derive(Clone)]
struct Known {
    method: Method,
    status: Option<StatusCode>,
    protocol_version: Option<&'static str>,
    route: Option<Box<str>>,
    error_type: Option<Box<str>>,
    attributes: Vec<KeyValue>,
}

impl OtelHttpMetrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram(HTTP_SERVER_REQUEST_DURATION)
                .with_description("Duration of HTTP server requests.")
                .with_unit("s")
                .with_boundaries(DURATION_BOUNDS.to_vec())
                .build(),
            active: ActiveRequests::register(meter),
            known: RefCell::default(),
        }
    }
}

impl HttpMetrics for OtelHttpMetrics {
    fn began(&self, method: Method) {
        self.active.began(method);
    }

    fn ended(&self, request: &Finished<'_>) {
        self.active.ended(request.method);
        let Some(duration) = request.duration else {
            return;
        };
        let mut known = self.known.borrow_mut();
        let index = known.iter().position(|known| known.is(request));
        let index = index.unwrap_or_else(|| {
            known.push(Known::of(request));
            known.len() - 1
        });
        let attributes = &known[index].attributes;
        self.duration.record(duration.as_secs_f64(), attributes);
    }
}

impl Known {
    fn of(request: &Finished<'_>) -> Self {
        let status = request.status.map(|status| i64::from(status.as_u16()));
        let text = |name, value: Option<&str>| Some(KeyValue::new(name, value?.to_owned()));
        // Always in one order: the SDK looks up a known order twice as fast.
        let attributes = [
            text(ERROR_TYPE, request.error_type),
            Some(KeyValue::new(HTTP_REQUEST_METHOD, request.method.as_str())),
            status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status)),
            text(HTTP_ROUTE, request.route),
            text(NETWORK_PROTOCOL_VERSION, request.protocol_version),
            Some(KeyValue::new(URL_SCHEME, SCHEME)),
        ];
        Self {
            method: request.method,
            status: request.status,
            protocol_version: request.protocol_version,
            route: request.route.map(Box::from),
            error_type: request.error_type.map(Box::from),
            attributes: attributes.into_iter().flatten().collect(),
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

/// Counts requests in progress and is asked for the numbers at each export: two
/// atomic additions a request, where an up-down counter looks up its attributes twice.
#[derive(Default)]
struct ActiveRequests([Active; Method::ALL.len()]);

#[derive(Default)]
struct Active {
    now: AtomicI64,
    /// Whether there was such a request. Other methods have no series.
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
