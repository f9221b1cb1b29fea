//! What `deploy/prometheus-3.yml` turns on: services push straight into Prometheus, and histograms have native ones beside
//! them.

use std::{fs, net::SocketAddr};

use anyhow::{Context, Result};
use e2e::{Program, SOON, otelcol::deploy, prometheus::Prometheus};

use super::{DURATIONS, REQUESTS, send};
use crate::support::stop;

/// The target of metrics-multi-process-pull.
const PULL: &str = "127.0.0.1:5102";

/// Starts it with the arguments that the file states. `pull` is the address of metrics-multi-process-pull, if it runs.
fn start(pull: Option<SocketAddr>) -> Result<Option<Prometheus>> {
    let text = fs::read_to_string(deploy("prometheus-3.yml"))?;
    let arguments: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("--") && !word.starts_with("--config.file"))
        .collect();
    assert_eq!(arguments.len(), 2, "{arguments:?}");
    let rules = deploy("rules").display().to_string();
    let mut configuration = text
        .replace("- rules/", &format!("- {rules}/"))
        .replace("15s", "250ms");
    if let Some(pull) = pull {
        configuration = configuration.replace(PULL, &pull.to_string());
    }
    Prometheus::start_newest(&configuration, &arguments)
}

#[test]
fn prometheus_receives_the_exact_totals_and_the_rules_hold_for_them() -> Result<()> {
    let Some(prometheus) = start(None)? else {
        return Ok(());
    };
    let endpoint = format!("http://{}/api/v1/otlp/v1/metrics", prometheus.addr());
    let running = Program::new("metrics-push")
        .env("ERROR_RATE", "0")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", endpoint)
        .option("--workers", 4)
        .start()?;
    send(&running, 400)?;
    for metric in [REQUESTS, DURATIONS] {
        let of_the_service = format!("sum by (job) ({metric}{{job='metrics-push'}})");
        prometheus.wait_for(&of_the_service, 400.0, SOON)?;
    }
    let workers = "job:workers:sum{job='metrics-push'}";
    prometheus.wait_for(workers, 4.0, SOON)?;
    // A series begins at 0, so what a worker counted before its first export is in the increase.
    let increase = format!("sum(increase({REQUESTS}[1h])) > bool 350");
    prometheus.wait_for(&increase, 1.0, SOON)?;
    stop(running)
}

#[test]
fn a_scraped_histogram_is_a_native_and_a_classic_one() -> Result<()> {
    let running = Program::new("metrics-multi-process-pull")
        .env("ERROR_RATE", "0")
        .start()?;
    let Some(prometheus) = start(Some(running.addr()?))? else {
        return Ok(());
    };
    send(&running, 200)?;
    for count in [
        "sum(http_server_request_duration_seconds_count)",
        "histogram_count(sum(http_server_request_duration_seconds))",
    ] {
        prometheus.wait_for(count, 200.0, SOON)?;
    }
    let quantile = |of: &str| {
        let value = prometheus.value(&format!("histogram_quantile(0.5, {of})"))?;
        value.with_context(|| format!("{of} has no value"))
    };
    let native = quantile("sum(http_server_request_duration_seconds)")?;
    let classic = quantile("sum by (le) (http_server_request_duration_seconds_bucket)")?;
    assert!((native - classic).abs() < 1e-9, "{native} {classic}");
    stop(running)
}
