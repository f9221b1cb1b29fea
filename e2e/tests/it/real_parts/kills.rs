//! Prometheus has exact counters of a program whose workers are killed repeatedly.

use anyhow::{Context, Result};
use e2e::{
    Load, SOON, Signal, http, poll, process,
    program::Program,
    prometheus::{Labels, Prometheus},
};

use super::{DURATIONS, REQUESTS, metrics_addr};

const KILLS: u64 = 20;

/// All counters that are not about a single process.
const COUNTERS: [&str; 7] = [
    REQUESTS,
    DURATIONS,
    "error_count_total",
    "http_server_request_duration_seconds_sum",
    "http_server_request_duration_seconds_bucket",
    "worker_spawns_total",
    "worker_exits_total",
];

#[test]
fn prometheus_sees_every_request_and_no_reset_while_workers_are_killed() -> Result<()> {
    scrape_while_workers_are_killed(false)
}

#[test]
fn prometheus_sees_the_same_at_the_metrics_port_of_the_master() -> Result<()> {
    scrape_while_workers_are_killed(true)
}

fn scrape_while_workers_are_killed(metrics_port: bool) -> Result<()> {
    let mut program = Program::new("metrics-multi-process-pull")
        .env("ERROR_RATE", "0.5")
        .env("RUST_LOG", "off")
        .option("--workers", 4);
    if metrics_port {
        program = program.env("METRICS_PORT", "0");
    }
    let running = program.start()?;
    let scraped = match metrics_port {
        true => metrics_addr(&running)?,
        false => running.addr()?,
    };
    let servers = Prometheus::start_each(&[scraped])?;
    for prometheus in &servers {
        prometheus.wait_for(REQUESTS, 0.0, SOON)?;
    }

    let load = Load::on(running.addr()?).clients(4).keep_alive(false);
    let traffic = load.at_most(SOON * 4).start()?;
    for _ in 0..KILLS {
        traffic.wait_for_answers(50, SOON)?;
        let victim = *running.workers().first().context("there is no worker")?;
        process::send(victim, Signal::SIGKILL)?;
    }
    let report = traffic.stop()?;
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
    // Without kills in between, so that what follows is to the unit.
    poll("all workers", SOON, || {
        let answers = http::get(running.addr().ok()?, "/healthz").is_ok();
        (answers && running.workers().len() == 4).then_some(())
    })?;
    let before: Vec<_> = servers.iter().map(settled).collect::<Result<_>>()?;
    let more = Load::on(running.addr()?).clients(4).requests(500).run()?;
    assert_eq!(more.answered, 500, "{more}");

    // A request without an answer was under way at a kill: it was counted or not.
    let (answered, lost) = (report.answered + 500, report.lost());
    for (prometheus, before) in servers.iter().zip(before) {
        let increase = before + 500.0;
        prometheus.wait_for(REQUESTS, increase, SOON)?;
        assert!(
            (answered..=answered + lost).contains(&(increase as u64)),
            "{increase} counted, {answered} answered, {lost} under way at kills"
        );
        for (labels, samples) in prometheus.samples(&format!("{REQUESTS}[1h]"))? {
            assert_increase(&labels, &samples, increase);
        }
        for counter in COUNTERS {
            let resets = prometheus.value(&format!("sum(resets({counter}[1h]))"))?;
            assert_eq!(resets, Some(0.0), "{counter}");
        }
    }
    Ok(())
}

/// Waits until several consecutive scrapes are equal, which means that all kills are counted.
fn settled(prometheus: &Prometheus) -> Result<f64> {
    poll("the same number in each scrape", SOON, || {
        let samples = prometheus.samples(&format!("{REQUESTS}[3s]")).ok()?;
        let samples = samples.values().next()?;
        let first = *samples.first()?;
        let same = samples.iter().all(|value| *value == first);
        (samples.len() > 2 && same).then_some(first)
    })
}

/// Like `increase()`, but without extrapolation to the ends of the window, which gives fractional requests.
#[track_caller]
fn assert_increase(labels: &Labels, samples: &[f64], expected: f64) {
    assert!(samples.is_sorted(), "{labels:?}: {samples:?}");
    let increase = samples.last().unwrap_or(&0.0) - samples.first().unwrap_or(&0.0);
    assert_eq!(increase, expected, "{labels:?}");
}
