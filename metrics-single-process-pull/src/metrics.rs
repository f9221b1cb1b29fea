//! The OpenTelemetry instruments of the service.

use opentelemetry::metrics::{Counter, Meter};
use prometheus::proto::MetricType;

/// The instruments. They are made once and cloned: making one is as expensive as
/// five measurements.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `GET /`.
    pub(crate) requests: Counter<u64>,
    /// Internal errors.
    pub(crate) errors: Counter<u64>,
}

impl Metrics {
    /// What the instruments are called on `/metrics`. The start checks it, since an
    /// instrument that the SDK refuses, or that has the name of another one, is
    /// otherwise just not there.
    pub(crate) const FAMILIES: [(&str, MetricType); 2] = [
        ("num_requests_total", MetricType::COUNTER),
        ("error_count_total", MetricType::COUNTER),
    ];

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
        };
        // The exporter shows an instrument only after its first measurement. One
        // that is there from the start can be checked, and its first increase is
        // not lost to `rate()`.
        metrics.requests.add(0, &[]);
        metrics.errors.add(0, &[]);
        metrics
    }
}
