//! The metrics of the service: their names, and how a request becomes numbers.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use actix_web::http::StatusCode;
use common::measure::{Method, Observer};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
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
    active: UpDownCounter<i64>,
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
            active: meter
                .i64_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
                .with_description("Number of active HTTP server requests.")
                .with_unit("{request}")
                .build(),
        };
        // A counter that is there from the start shows its first increase, and an
        // endpoint that does not answer is told before the first request.
        metrics.requests.add(0, &[]);
        metrics.errors.add(0, &[]);
        metrics
    }
}

/// Records the requests of one route.
///
/// The attributes come from the route and from short lists, never from what the
/// client wrote, so that no client can make a series. They are made once for each
/// combination that occurs; always in the same order, which the SDK looks up
/// twice as fast as any other.
pub(crate) struct HttpObserver {
    metrics: Metrics,
    route: &'static str,
    active: RefCell<HashMap<Method, Attributes<2>>>,
    ended: RefCell<HashMap<(Method, StatusCode), Attributes<4>>>,
}

type Attributes<const N: usize> = Rc<[KeyValue; N]>;

/// The service speaks plain HTTP. What a proxy before it speaks is not asked:
/// the header that says so comes from the client.
const SCHEME: &str = "http";

impl HttpObserver {
    pub(crate) fn new(metrics: &Metrics, route: &'static str) -> Self {
        Self {
            metrics: metrics.clone(),
            route,
            active: RefCell::default(),
            ended: RefCell::default(),
        }
    }

    fn active_attributes(&self, method: Method) -> Attributes<2> {
        let make = || {
            Rc::new([
                KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
                KeyValue::new(URL_SCHEME, SCHEME),
            ])
        };
        let mut known = self.active.borrow_mut();
        known.entry(method).or_insert_with(make).clone()
    }

    fn ended_attributes(&self, method: Method, status: StatusCode) -> Attributes<4> {
        let make = || {
            Rc::new([
                KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
                KeyValue::new(HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())),
                KeyValue::new(HTTP_ROUTE, self.route),
                KeyValue::new(URL_SCHEME, SCHEME),
            ])
        };
        let mut known = self.ended.borrow_mut();
        known.entry((method, status)).or_insert_with(make).clone()
    }
}

impl Observer for HttpObserver {
    fn began(&self, method: Method) {
        let attributes = self.active_attributes(method);
        self.metrics.active.add(1, &*attributes);
    }

    fn ended(&self, method: Method, status: Option<StatusCode>, took: Duration) {
        let attributes = self.active_attributes(method);
        self.metrics.active.add(-1, &*attributes);
        if let Some(status) = status {
            let attributes = self.ended_attributes(method, status);
            self.metrics
                .duration
                .record(took.as_secs_f64(), &*attributes);
        }
    }
}
