//! `metrics-push`: the collector receives the exact counts of all requests.

mod configuration;
mod embedded;
mod outage;
mod series;
mod tls;
mod totals;

use anyhow::{Context, Result};
use collector::{Collector, Received};
use e2e::{Program, SOON, poll};

use crate::otlp::{self, Protocol};

/// The program without simulated errors, exporting several times a second.
fn metrics_push() -> Program {
    Program::new("metrics-push")
        .env("ERROR_RATE", "0")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
}

/// The program pushing to this collector.
fn pushing_to(collector: &Collector, protocol: Protocol) -> Program {
    otlp::pushing_to(metrics_push(), collector, protocol)
}

/// Waits until the collector's sum has this number of requests.
fn wait_for_requests(collector: &Collector, count: u64) -> Result<()> {
    let received = || collector.received().sum(REQUESTS, &[]);
    poll(&format!("{count} requests at the collector"), SOON, || {
        (received() >= count as f64).then_some(())
    })
    .with_context(|| format!("{} have arrived", received()))
}

/// Asserts that the counter and the histogram both have exactly this number of requests.
#[track_caller]
fn assert_requests(received: &Received, count: u64) {
    assert_eq!(received.sum(REQUESTS, &[]), count as f64, "{received:?}");
    assert_eq!(received.count(DURATION, &[]), count, "{received:?}");
}

const REQUESTS: &str = "num_requests";
const ERRORS: &str = "error_count";
const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";
