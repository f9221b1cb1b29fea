//! `metrics-single-process-pull`: `/metrics` on either port, scraped by a test and by Prometheus.

mod exposition;
mod metrics_port;
mod prometheus;
mod refusals;
mod series;
mod stop;
mod totals;

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use e2e::{Program, Running, SOON, http, poll};

/// The program without simulated errors.
fn pull() -> Program {
    Program::new("metrics-single-process-pull").env("ERROR_RATE", "0")
}

/// The program with a separate metrics port.
fn pull_with_metrics_port() -> Program {
    pull().env("METRICS_PORT", "0")
}

/// The address of `/metrics` in the ready line.
fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let url = &running.ready()?.parts["metrics"];
    let addr = url
        .strip_prefix("http://")
        .and_then(|url| url.strip_suffix("/metrics"));
    Ok(addr.with_context(|| url.clone())?.parse()?)
}

/// One scrape: all samples, keyed by name and labels as written.
#[derive(Debug)]
struct Scrape {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(running: &Running) -> Result<Self> {
        let response = http::get(metrics_addr(running)?, "/metrics")?;
        ensure!(response.status == 200, "{response:?}");
        let mut samples = BTreeMap::new();
        let lines = response.body.lines();
        for line in lines.filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').context("a line has no value")?;
            let twice = samples.insert(series.to_owned(), value.parse()?);
            ensure!(twice.is_none(), "{series} is there twice");
        }
        Ok(Self {
            text: response.body,
            samples,
        })
    }

    /// The series of a metric, with their values.
    fn series(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let is_of = move |series: &str| series.split('{').next() == Some(name);
        let samples = self
            .samples
            .iter()
            .map(|(series, value)| (series.as_str(), *value));
        samples.filter(move |(series, _)| is_of(series))
    }

    /// The sum over all series of a metric that have these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &str| {
            labels
                .iter()
                .all(|(name, value)| series.contains(&format!("{name}=\"{value}\"")))
        };
        let series = self.series(name).filter(|(series, _)| has(series));
        series.map(|(_, value)| value).sum()
    }
}

/// Waits for a scrape that includes every answered request and has no active ones. The service records a request shortly
/// after the client has received the response.
fn settled(running: &Running, answered: f64) -> Result<Scrape> {
    let settled =
        |scrape: &Scrape| scrape.sum(COUNT, &[]) == answered && scrape.sum(ACTIVE, &[]) == 0.0;
    let found = poll(&format!("{answered} measured requests"), SOON, || {
        Scrape::of(running).ok().filter(settled)
    });
    found.with_context(|| format!("{:?}", Scrape::of(running).map(|scrape| scrape.text)))
}

const REQUESTS: &str = "num_requests_total";
const ERRORS: &str = "error_count_total";
const HTTP_REQUESTS: &str = "http_requests_total";
const BUCKET: &str = "http_server_request_duration_seconds_bucket";
const COUNT: &str = "http_server_request_duration_seconds_count";
const ACTIVE: &str = "http_server_active_requests";
