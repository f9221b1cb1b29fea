//! The HTTP metrics as OpenTelemetry instruments.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

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

use super::{
    finished::{Finished, HttpMetrics},
    method::Method,
    scheme::Scheme,
    series::Series,
};

/// Bucket bounds of `http.server.request.duration`, in seconds, as the [conventions]
/// advise.
///
/// [conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
pub const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// `http.server.request.duration` and `http.server.active_requests`, after the
/// [HTTP semantic conventions].
///
/// [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
#[derive(Clone)]
pub struct OtelHttpMetrics {
    duration: Histogram<f64>,
    active: Arc<ActiveRequests>,
    known: Series<Vec<KeyValue>>,
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
            known: Series::default(),
        }
    }
}

impl HttpMetrics for OtelHttpMetrics {
    fn began(&self, method: Method, scheme: Scheme) {
        self.active.of(method, scheme).began();
    }

    fn ended(&self, request: &Finished<'_>) {
        self.active.of(request.method, request.scheme).ended();
        let Some(duration) = request.duration else {
            return;
        };
        let record = |attributes: &Vec<KeyValue>| {
            self.duration.record(duration.as_secs_f64(), attributes);
        };
        self.known.with(request, attributes, record);
    }
}

fn attributes(request: &Finished<'_>) -> Vec<KeyValue> {
    let status = request.status.map(|status| i64::from(status.as_u16()));
    let text = |name, value: Option<&str>| Some(KeyValue::new(name, value?.to_owned()));
    // Always in one order: the SDK looks up a known order twice as fast.
    let attributes = [
        text(ERROR_TYPE, request.error_type),
        Some(KeyValue::new(HTTP_REQUEST_METHOD, request.method.as_str())),
        status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status)),
        text(HTTP_ROUTE, request.route),
        text(NETWORK_PROTOCOL_VERSION, request.protocol_version),
        Some(KeyValue::new(URL_SCHEME, request.scheme.as_str())),
    ];
    attributes.into_iter().flatten().collect()
}

/// Counts requests in progress and is asked for the numbers at each export: two
/// atomic additions a request, where an up-down counter looks up its attributes twice.
#[derive(Default)]
struct ActiveRequests([[Active; Scheme::ALL.len()]; Method::ALL.len()]);

#[derive(Default)]
struct Active {
    now: AtomicI64,
    /// Whether there was such a request. Others have no series.
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

    fn of(&self, method: Method, scheme: Scheme) -> &Active {
        &self.0[method as usize][scheme as usize]
    }

    fn observe(&self, instrument: &dyn AsyncInstrument<i64>) {
        let all = Method::ALL.map(|method| Scheme::ALL.map(|scheme| (method, scheme)));
        for (method, scheme) in all.into_iter().flatten() {
            let active = self.of(method, scheme);
            if active.seen.load(Relaxed) {
                let attributes = [
                    KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
                    KeyValue::new(URL_SCHEME, scheme.as_str()),
                ];
                instrument.observe(active.now.load(Relaxed), &attributes);
            }
        }
    }
}

impl Active {
    fn began(&self) {
        self.now.fetch_add(1, Relaxed);
        if !self.seen.load(Relaxed) {
            self.seen.store(true, Relaxed);
        }
    }

    fn ended(&self) {
        self.now.fetch_sub(1, Relaxed);
    }
}
