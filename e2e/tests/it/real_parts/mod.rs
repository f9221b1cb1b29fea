//! What `deploy/` configures, with the real OpenTelemetry Collector and the real Prometheus.

mod container;
mod dashboard;
mod files;
mod kills;
mod outage;
mod push;
mod rules;
mod scenarios;
mod signals;
mod tiers;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, Signal, http, otelcol::Ports, poll};

/// How a program and the Collector speak.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http,
    Grpc,
}

const PROTOCOLS: [Protocol; 2] = [Protocol::Http, Protocol::Grpc];

/// A program of the workspace that pushes to a Collector, without simulated errors, several times a second.
fn pushing_to(name: &str, ports: Ports, protocol: Protocol) -> Program {
    let (protocol, endpoint) = match protocol {
        Protocol::Http => ("http/protobuf", ports.http),
        Protocol::Grpc => ("grpc", ports.grpc),
    };
    Program::new(name)
        .env("ERROR_RATE", "0")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}"))
}

/// Sends requests on new connections, so that each worker gets some, all of which have to be answered.
fn send(running: &Running, requests: u64) -> Result<()> {
    let load = Load::on(running.addr()?).clients(4).keep_alive(false);
    let report = load.requests(requests).run()?;
    assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
    Ok(())
}

/// Stops a program gracefully, which pushes what was not pushed yet.
fn stop(mut running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", running.console());
    running.wait_gone(SOON)
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

/// Where the ready line says that `/metrics` has a port of its own.
fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let url = &running.ready()?.parts["metrics"];
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    address.parse().with_context(|| url.clone())
}

/// A directory that goes with the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("e2e-parts-{}-{number}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left of it is in a directory that the system clears.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const REQUESTS: &str = "num_requests_total";
const DURATIONS: &str = "http_server_request_duration_seconds_count";
