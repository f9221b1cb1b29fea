//! The instruments of the service.

use common::telemetry::OtelHttpMetrics;
use opentelemetry::metrics::{Counter, Meter};

/// Made once and cloned: to make an instrument costs as much as five measurements.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Requests to `/`.
    pub(crate) requests: Counter<u64>,
    /// Internal errors.
    pub(crate) errors: Counter<u64>,
    /// Duration and number of all requests, for the middleware.
    pub(crate) http: OtelHttpMetrics,
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
            http: OtelHttpMetrics::new(meter),
        };
        // A counter that exists from the start shows its first increase.
        metrics.requests.add(0, &[]);
        metrics.errors.add(0, &[]);
        metrics
    }
}
