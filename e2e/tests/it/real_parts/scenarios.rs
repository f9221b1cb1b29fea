//! The three metric scenarios under one load, with the Collector and Prometheus as `deploy/` configures them.

use std::{collections::BTreeMap, fs, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    Load, Program, Running, SOON,
    otelcol::{self, Otelcol, deploy},
    poll,
    prometheus::Prometheus,
};

use super::{DURATIONS, REQUESTS, pushing_to};
use crate::otlp::Protocol;

/// The jobs. Each has the name of its program.
pub(super) const JOBS: [&str; 3] = [
    "metrics-multi-process-pull",
    "metrics-push",
    "metrics-single-process-pull",
];

/// Jobs whose workers have a master.
pub(super) const SUPERVISED: [&str; 2] = [JOBS[0], JOBS[1]];

/// Requests to each program before rates are queried. `rate()` does not see the first request of a series.
const FIRST: u64 = 50;
/// Requests to each program after that.
const THEN: u64 = 600;
/// All requests to each program.
pub(super) const SENT: f64 = (FIRST + THEN) as f64;

/// What one release of Prometheus has of the running programs, and the latencies of the clients.
pub(super) struct Scenarios {
    pub(super) prometheus: Prometheus,
    /// The longest latency of each job, as measured by the client.
    pub(super) slowest: BTreeMap<&'static str, Duration>,
    /// They run until the last one is dropped.
    _programs: Rc<[Running]>,
}

impl Scenarios {
    /// Starts everything, sends the same load to each program, and waits until each release of Prometheus has all of it.
    /// Returns none if a program is not installed and tests may be skipped.
    pub(super) fn under_load() -> Result<Vec<Self>> {
        let Some(executable) = otelcol::executable()? else {
            return Ok(Vec::new());
        };
        let mut otelcol = Otelcol::new(&executable, "otel-collector.yaml")?;
        let collector = otelcol.start()?;
        let ports = otelcol.ports();
        let pull = |name: &str| Program::new(name).env("RUST_LOG", "off");
        let programs = [
            pull(JOBS[0]).option("--workers", 2),
            pushing_to(JOBS[1], ports, Protocol::Http)
                .option("--workers", 2)
                .env("RUST_LOG", "off"),
            pull(JOBS[2]),
        ];
        let programs = programs.map(|program| program.env("ERROR_RATE", "0.5").start());
        let [multi, push, single] = programs;
        let programs: Rc<[_]> = [multi?, push?, single?, collector].into();
        let replaced = [
            ("127.0.0.1:5102", programs[0].addr()?),
            ("127.0.0.1:5101", programs[2].addr()?),
            ("127.0.0.1:8889", ports.service),
            ("127.0.0.1:8890", ports.workers),
            ("127.0.0.1:8888", ports.own),
        ];
        let servers = Prometheus::configure_each(&configuration(&replaced)?)?.into_iter();
        let of_server = |prometheus| Self {
            prometheus,
            slowest: BTreeMap::new(),
            _programs: programs.clone(),
        };
        let mut all: Vec<_> = servers.map(of_server).collect();
        // From zero on, so that an increase over the run is all that was sent.
        for scenarios in &all {
            scenarios.wait_for(REQUESTS, 0.0)?;
        }
        let mut sum = 0;
        for requests in [FIRST, THEN] {
            sum += requests;
            let slowest = send(&programs, requests)?;
            for scenarios in &mut all {
                scenarios.wait_for(REQUESTS, sum as f64)?;
                scenarios.wait_for(DURATIONS, sum as f64)?;
                for (job, latency) in &slowest {
                    let before = scenarios.slowest.entry(job).or_default();
                    *before = latency.max(before).to_owned();
                }
            }
        }
        Ok(all)
    }

    /// Waits until the series of a metric have this sum in each job.
    fn wait_for(&self, metric: &str, expected: f64) -> Result<()> {
        let expression = format!("sum by (job) ({metric})");
        let all = |found: &[f64; 3]| found.iter().all(|value| *value == expected);
        self.wait_until(&expression, all).map(|_| ())
    }

    /// Waits until an expression has a value for each job, and `wanted` accepts the values.
    pub(super) fn wait_until(
        &self,
        expression: &str,
        wanted: impl Fn(&[f64; 3]) -> bool,
    ) -> Result<[f64; 3]> {
        poll(expression, SOON, || {
            self.by_job(expression).ok().filter(&wanted)
        })
        .with_context(|| format!("{:?}", self.prometheus.query(expression)))
    }

    /// Waits until an expression has a series of each of these jobs.
    pub(super) fn wait_for_jobs(&self, expression: &str, jobs: &[&str]) -> Result<()> {
        poll(&format!("`{expression}` of each of {jobs:?}"), SOON, || {
            let found = self.prometheus.query(expression).ok()?;
            let has = |job: &&str| found.keys().any(|labels| labels["job"] == *job);
            jobs.iter().all(has).then_some(())
        })
    }

    /// The value of an expression for each job, in the order of [`JOBS`].
    pub(super) fn by_job(&self, expression: &str) -> Result<[f64; 3]> {
        let found = self.prometheus.query(expression)?;
        let mut values = [f64::NAN; 3];
        for (value, job) in values.iter_mut().zip(JOBS) {
            let of_job = |(labels, _): &(&BTreeMap<String, String>, &f64)| labels["job"] == job;
            let series: Vec<_> = found
                .iter()
                .filter(|(labels, _)| labels.contains_key("job"))
                .filter(of_job)
                .collect();
            ensure!(series.len() == 1, "{expression} of {job}: {series:?}");
            *value = *series[0].1;
        }
        Ok(values)
    }
}

/// Sends this number of requests to all programs concurrently. Returns the longest latency of each job.
fn send(programs: &[Running], requests: u64) -> Result<BTreeMap<&'static str, Duration>> {
    let mut traffics = Vec::new();
    for (job, program) in JOBS.into_iter().zip(programs) {
        let load = Load::on(program.addr()?).clients(4).keep_alive(false);
        traffics.push((job, load.requests(requests).start()?));
    }
    let finish = |(job, traffic): (_, e2e::load::Traffic)| {
        let report = traffic.finish()?;
        assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
        Ok((job, report.max()))
    };
    traffics.into_iter().map(finish).collect()
}

/// `deploy/prometheus.yml` with the targets of this test, and a faster clock.
fn configuration(replaced: &[(&str, SocketAddr)]) -> Result<String> {
    let mut text = fs::read_to_string(deploy("prometheus.yml"))?;
    let rules = deploy("rules").display().to_string();
    let mut replace = |from: &str, to: &str| -> Result<()> {
        ensure!(text.contains(from), "there is no {from} in prometheus.yml");
        text = text.replace(from, to);
        Ok(())
    };
    for (from, to) in replaced {
        replace(from, &to.to_string())?;
    }
    replace("15s", "250ms")?;
    replace("- rules/", &format!("- {rules}/"))?;
    Ok(text)
}
