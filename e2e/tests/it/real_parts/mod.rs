//! Tests the files in `deploy/` with the real OpenTelemetry Collector and Prometheus, and our
//! collector with the exporters of another SDK.

mod container;
mod dashboard;
mod files;
mod formats;
mod kills;
mod openmetrics;
mod outage;
mod prometheus_3;
mod push;
mod python_exporters;
mod rules;
mod scenarios;
mod signals;
mod tiers;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, http, otelcol::Ports, poll};

use crate::otlp::{self, Protocol};

/// A program that pushes to a Collector several times a second, without simulated errors.
fn pushing_to(name: &str, ports: Ports, protocol: Protocol) -> Program {
    let program = Program::new(name)
        .env("ERROR_RATE", "0")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    otlp::pushing_to_address(program, protocol.choose(ports.http, ports.grpc), protocol)
}

/// Sends requests on new connections, so that each worker gets some, and requires all answers.
fn send(running: &Running, requests: u64) -> Result<()> {
    let load = Load::on(running.addr()?).clients(4).keep_alive(false);
    let report = load.requests(requests).run()?;
    assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
    Ok(())
}

/// The values of all series of a metric on a Collector's `/metrics`.
fn series(addr: SocketAddr, metric: &str) -> Result<Vec<f64>> {
    let text = http::get_until_close(addr, "/metrics")?;
    let samples = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        (series.split('{').next() == Some(metric)).then_some(value)
    });
    samples
        .map(|value| value.parse().with_context(|| format!("in {text}")))
        .collect()
}

/// Waits until the series of a metric have this sum.
fn wait_for_sum(addr: SocketAddr, metric: &str, expected: f64) -> Result<()> {
    let sum = || Some(series(addr, metric).ok()?.iter().sum::<f64>());
    poll(&format!("{metric} to be {expected}"), SOON, || {
        (sum() == Some(expected)).then_some(())
    })
    .with_context(|| format!("it is {:?}", sum()))
}

/// The metrics address in the ready line.
fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let url = &running.ready()?.parts["metrics"];
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    address.parse().with_context(|| url.clone())
}

const REQUESTS: &str = "num_requests_total";
const DURATIONS: &str = "http_server_request_duration_seconds_count";
