//! Without configuration the program starts the embedded collector, which prints the pushed metrics.

use anyhow::{Context, Result};
use e2e::{Load, Running, SOON, Signal, console::Stream, poll};

use super::metrics_push;
use crate::{
    otlp::{PROTOCOLS, collector, with_dead_proxy},
    support::stop,
};

/// The last sum over all workers that was printed for this counter.
fn printed_sum(running: &Running, metric: &str) -> Option<u64> {
    let text = running.console().text(Stream::Out);
    let mut lines = text.lines().rev().map(str::trim_start);
    let line = lines.find(|line| line.split_whitespace().next() == Some(metric))?;
    let (_, sum) = line.split_once("sum over ")?;
    sum.split_once(": ")?
        .1
        .split(',')
        .next()?
        .trim()
        .parse()
        .ok()
}

fn wait_for_sum(running: &Running, sum: u64) -> Result<()> {
    poll(&format!("the printed sum {sum}"), SOON, || {
        (printed_sum(running, "num_requests")? == sum).then_some(())
    })
    .with_context(|| running.console().to_string())
}

/// Sends requests on new connections, so that every worker gets some.
fn send(running: &Running, requests: u64) -> Result<()> {
    let load = Load::on(running.addr()?).clients(4).keep_alive(false);
    let report = load.requests(requests).run()?;
    assert_eq!(report.answered, requests, "{report}");
    Ok(())
}

#[test]
fn pushed_metrics_are_printed_including_the_last_ones_before_the_stop() -> Result<()> {
    let mut running = metrics_push().start()?;
    send(&running, 50)?;
    wait_for_sum(&running, 50)?;
    send(&running, 7)?;
    running.signal_group(Signal::SIGINT)?;
    assert_eq!(
        running.wait_exit(SOON)?.code(),
        Some(0),
        "{}",
        running.console()
    );
    running.wait_gone(SOON)?;
    assert_eq!(
        printed_sum(&running, "num_requests"),
        Some(57),
        "{}",
        running.console()
    );
    Ok(())
}

#[test]
fn the_last_metrics_arrive_before_the_first_interval() -> Result<()> {
    for protocol in ["http/protobuf", "grpc"] {
        let program = metrics_push()
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
        let mut running = program.start()?;
        send(&running, 50)?;
        running.signal(Signal::SIGTERM)?;
        assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
        running.wait_gone(SOON)?;
        assert_eq!(
            printed_sum(&running, "num_requests"),
            Some(50),
            "{}",
            running.console()
        );
    }
    Ok(())
}

#[test]
fn proxy_variables_do_not_affect_pushes_to_the_embedded_collector() -> Result<()> {
    let running = with_dead_proxy(metrics_push())?.start()?;
    send(&running, 50)?;
    wait_for_sum(&running, 50)
}

#[test]
fn proxy_variables_do_not_affect_pushes_to_a_collector_on_this_machine() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = with_dead_proxy(super::pushing_to(&collector, protocol))?.start()?;
        send(&running, 50)?;
        super::wait_for_requests(&collector, 50)?;
        stop(running)?;
        super::assert_requests(&collector.received(), 50);
    }
    Ok(())
}

#[test]
fn a_killed_worker_never_lowers_the_printed_sum() -> Result<()> {
    let running = metrics_push().start()?;
    send(&running, 50)?;
    wait_for_sum(&running, 50)?;
    let old = running.ready()?.serving();
    e2e::process::send(old[0], Signal::SIGKILL)?;
    poll("the new worker", SOON, || {
        let workers = running.workers();
        (workers.len() == 2 && !workers.contains(&old[0])).then_some(())
    })?;
    send(&running, 50)?;
    wait_for_sum(&running, 100)
}

#[test]
fn without_the_feature_nothing_is_embedded() -> Result<()> {
    // Somebody may listen on the standard port, where it pushes then: this test is over before the first export.
    let bare = metrics_push()
        .build_arg("--no-default-features")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
    let running = bare.start()?;
    send(&running, 5)?;
    assert_eq!(running.console().text(Stream::Out), "");
    Ok(())
}
