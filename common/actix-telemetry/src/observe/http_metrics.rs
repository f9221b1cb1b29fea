//! The HTTP metrics as OpenTelemetry instruments.

use std::cell::OnceCell;

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, BoundUpDownCounter, Histogram, Meter, UpDownCounter},
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
    active: UpDownCounter<i64>,
    durations: Series<BoundHistogram<f64>>,
    actives: [[OnceCell<BoundUpDownCounter<i64>>; Scheme::ALL.len()]; Method::ALL.len()],
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
            active: meter
                .i64_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
                .with_description("Number of active HTTP server requests.")
                .with_unit("{request}")
                .build(),
            durations: Series::default(),
            actives: Default::default(),
        }
    }

    fn active(&self, method: Method, scheme: Scheme) -> &BoundUpDownCounter<i64> {
        self.actives[method as usize][scheme as usize].get_or_init(|| {
            self.active.bind(&[
                KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
                KeyValue::new(URL_SCHEME, scheme.as_str()),
            ])
        })
    }
}

impl HttpMetrics for OtelHttpMetrics {
    fn began(&self, method: Method, scheme: Scheme) {
        self.active(method, scheme).add(1);
    }

    fn ended(&self, request: &Finished<'_>) {
        self.active(request.method, request.scheme).add(-1);
        let Some(took) = request.duration else {
            return;
        };
        let look_up = |request: &Finished<'_>| self.duration.bind(&attributes(request));
        self.durations
            .with(request, look_up, |series| series.record(took.as_secs_f64()));
    }
}

fn attributes(request: &Finished<'_>) -> Vec<KeyValue> {
    let status = request.status.map(|status| i64::from(status.as_u16()));
    let text = |name, value: Option<&str>| Some(KeyValue::new(name, value?.to_owned()));
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
