//! Services push straight into Prometheus, without a Collector.

use std::fs;

use anyhow::Result;
use e2e::{Program, SOON, otelcol::deploy, prometheus::Prometheus};

use super::{DURATIONS, REQUESTS, send};
use crate::support::stop;

const ARGUMENTS: [&str; 2] = [
    "--web.enable-otlp-receiver",
    "--enable-feature=created-timestamp-zero-ingestion",
];

#[test]
fn prometheus_receives_the_exact_totals_and_the_rules_hold_for_them() -> Result<()> {
    let rules = deploy("rules").display().to_string();
    let configuration = fs::read_to_string(deploy("prometheus-otlp.yml"))?
        .replace("- rules/", &format!("- {rules}/"))
        .replace("15s", "250ms");
    let Some(prometheus) = Prometheus::start_newest(&configuration, &ARGUMENTS)? else {
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
