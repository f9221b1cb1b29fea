//! Prometheus scrapes a program whose workers are killed all the time, and its counters are right all the same.

use anyhow::{Context, Result};
use e2e::{
    Load, SOON, Signal, http, poll, process,
    program::Program,
    prometheus::{Labels, Prometheus},
};

use super::{DURATIONS, REQUESTS};

const KILLS: u64 = 30;

/// Everything that only goes up, and is not told of one process.
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
    let running = Program::new("metrics-multi-process-pull")
        .env("ERROR_RATE", "0.5")
        .env("RUST_LOG", "off")
        .env("METRICS_PORT", "0")
        .option("--workers", 4)
        .start()?;
    let url = &running.ready()?.parts["metrics"];
    let metrics = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    // Both the master, and whichever worker gets the connection.
    let targets = [metrics.parse()?, running.addr()?];
    let Some(prometheus) = Prometheus::start(&targets)? else {
        return Ok(());
    };
    prometheus.wait_for(&format!("count({REQUESTS} == 0)"), 2.0, SOON)?;

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
    let before = settled(&prometheus)?;
    let more = Load::on(running.addr()?).clients(4).requests(500).run()?;
    assert_eq!(more.answered, 500, "{more}");
    prometheus.wait_for(&format!("min({REQUESTS})"), before + 500.0, SOON)?;

    // A request without an answer was under way at a kill: it was counted or not.
    let increase = before + 500.0;
    let (answered, lost) = (report.answered + 500, report.lost());
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
    Ok(())
}

/// Waits until both targets have the same number twice in a row: what is counted at a kill is there.
fn settled(prometheus: &Prometheus) -> Result<f64> {
    poll("both targets to agree", SOON, || {
        let samples = prometheus.samples(&format!("{REQUESTS}[2s]")).ok()?;
        let last: Vec<f64> = samples.values().flatten().copied().collect();
        let first = *last.first()?;
        (samples.len() == 2 && last.len() > 4 && last.iter().all(|value| *value == first))
            .then_some(first)
    })
}

/// What `increase()` has without its extrapolation to the ends of the window, which makes fractions of requests.
#[track_caller]
fn assert_increase(labels: &Labels, samples: &[f64], expected: f64) {
    assert!(samples.is_sorted(), "{labels:?}: {samples:?}");
    let increase = samples.last().unwrap_or(&0.0) - samples.first().unwrap_or(&0.0);
    assert_eq!(increase, expected, "{labels:?}");
}
