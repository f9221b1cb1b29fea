//! `metrics-push`: what its clients did is what arrives at the collector, exactly.

mod configuration;
mod embedded;
mod outage;
mod series;
mod tls;
mod totals;

use anyhow::{Context, Result};
use collector::{Collector, Config, Received};
use e2e::{Program, Running, SOON, Signal, poll};

/// How the program and the collector speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http, Protocol::Grpc];

impl Protocol {
    /// The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }

    fn endpoint(self, collector: &Collector) -> String {
        match self {
            Self::Http => format!("http://{}", collector.http_addr()),
            Self::Grpc => format!("http://{}", collector.grpc_addr()),
        }
    }
}

/// A collector that prints nothing and remembers what arrives.
fn collector() -> Result<Collector> {
    Collector::start(Config::silent()).context("cannot start a collector")
}

/// The program without simulated errors, exporting several times a second.
fn metrics_push() -> Program {
    Program::new("metrics-push")
        .env("ERROR_RATE", "0")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
}

/// The program pushing to this collector.
fn pushing_to(collector: &Collector, protocol: Protocol) -> Program {
    metrics_push()
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", protocol.endpoint(collector))
}

/// Stops the program gracefully, which pushes what was not pushed yet.
fn stop(mut running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", running.console());
    running.wait_gone(SOON)
}

/// Waits until the collector has received so many requests in sum.
fn wait_for_requests(collector: &Collector, count: u64) -> Result<()> {
    let received = || collector.received().sum(REQUESTS, &[]);
    poll(&format!("{count} requests at the collector"), SOON, || {
        (received() >= count as f64).then_some(())
    })
    .with_context(|| format!("{} have arrived", received()))
}

/// Asserts that the counter and the histogram both hold exactly so many requests.
#[track_caller]
fn assert_requests(received: &Received, count: u64) {
    assert_eq!(received.sum(REQUESTS, &[]), count as f64, "{received:?}");
    assert_eq!(received.count(DURATION, &[]), count, "{received:?}");
}

const REQUESTS: &str = "num_requests";
const ERRORS: &str = "error_count";
const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";
