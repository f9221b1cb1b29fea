//! Every request is counted once.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::{Load, SOON, Signal, http, poll, process};

use super::{ERRORS, REQUESTS, assert_requests, pushing_to, wait_for_requests};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

#[test]
fn every_request_arrives_over_http_from_two_and_four_workers() -> Result<()> {
    every_request_arrives(Protocol::Http)
}

#[test]
fn every_request_arrives_over_grpc_from_two_and_four_workers() -> Result<()> {
    every_request_arrives(Protocol::Grpc)
}

fn every_request_arrives(protocol: Protocol) -> Result<()> {
    for (workers, keep_alive) in [(2, true), (2, false), (4, true), (4, false)] {
        let collector = collector()?;
        let program = pushing_to(&collector, protocol).option("--workers", workers);
        let running = program.start()?;
        let load = Load::on(running.addr()?).clients(16).keep_alive(keep_alive);
        let report = load.requests(1000).run()?;
        assert_eq!(report.statuses.get(&200), Some(&1000), "{report}");
        stop(running)?;
        let received = collector.received();
        assert_requests(&received, 1000);

        // What each process says of itself is what the clients saw of it.
        let by_instance = received.per_instance(REQUESTS, &[]);
        for instance in received.instances() {
            let pid = instance.pid().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            let seen = report.pids.get(&pid).copied().unwrap_or(0) as f64;
            let said = by_instance.get(instance.id()).copied().unwrap_or(0.0);
            assert_eq!(said, seen, "process {pid}: {report}");
        }
    }
    Ok(())
}

#[test]
fn a_stop_pushes_the_remaining_metrics() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let program =
            pushing_to(&collector, protocol).env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
        let running = program.start()?;
        let report = Load::on(running.addr()?).clients(8).requests(500).run()?;
        assert_eq!(report.answered, 500, "{report}");
        assert_eq!(collector.received().data_points(), 0);
        stop(running)?;
        assert_requests(&collector.received(), 500);
    }
    Ok(())
}

#[test]
fn a_quick_stop_pushes_too() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let collector = collector()?;
        let program =
            pushing_to(&collector, Protocol::Http).env("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
        let mut running = program.start()?;
        let report = Load::on(running.addr()?).clients(8).requests(500).run()?;
        assert_eq!(report.answered, 500, "{report}");
        running.signal_group(signal)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
        assert_requests(&collector.received(), 500);
    }
    Ok(())
}

#[test]
fn a_stop_under_load_counts_every_answered_request() -> Result<()> {
    for keep_alive in [true, false] {
        let collector = collector()?;
        let mut running = pushing_to(&collector, Protocol::Http).start()?;
        let load = Load::on(running.addr()?).clients(64).keep_alive(keep_alive);
        let traffic = load.start()?;
        traffic.wait_for_answers(1000, SOON)?;
        running.signal(Signal::SIGTERM)?;
        running.wait_exit(SOON)?;
        let report = traffic.stop()?;
        assert_eq!(report.lost(), 0, "{report}");
        assert_requests(&collector.received(), report.answered);
    }
    Ok(())
}

#[test]
fn delta_temporality_adds_up_to_the_same_totals() -> Result<()> {
    for (temporality, protocol) in [
        ("delta", Protocol::Http),
        ("delta", Protocol::Grpc),
        ("lowmemory", Protocol::Http),
    ] {
        let collector = collector()?;
        let running = pushing_to(&collector, protocol)
            .env(
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                temporality,
            )
            .start()?;
        for round in 1..=3 {
            let report = Load::on(running.addr()?).clients(8).requests(300).run()?;
            assert_eq!(report.answered, 300, "{report}");
            wait_for_requests(&collector, round * 300)?;
        }
        stop(running)?;
        assert_requests(&collector.received(), 900);
    }
    Ok(())
}

#[test]
fn pushed_counts_of_a_killed_worker_stay() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    let addr = running.addr()?;
    Load::on(addr).clients(16).requests(1000).run()?;
    wait_for_requests(&collector, 1000)?;

    let old = running.ready()?.serving();
    process::send(old[0], Signal::SIGKILL)?;
    // Asked on a route that is in no metric, until the new worker is there.
    poll("the new worker", SOON, || {
        let workers = running.workers();
        let replaced = workers.len() == 2 && !workers.contains(&old[0]);
        (replaced && http::get(addr, "/healthz").ok()?.status == 200).then_some(())
    })?;
    let report = Load::on(addr)
        .clients(16)
        .keep_alive(false)
        .requests(1000)
        .run()?;
    assert_eq!(report.answered, 1000, "{report}");
    stop(running)?;
    assert_requests(&collector.received(), 2000);
    Ok(())
}

#[test]
fn simulated_errors_are_counted_and_logged_but_not_shown() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http)
        .env("ERROR_RATE", "0.5")
        .start()?;
    let report = Load::on(running.addr()?).clients(4).requests(400).run()?;
    assert_eq!(report.statuses.get(&200), Some(&400), "{report}");
    let console = running.console().clone();
    stop(running)?;
    let received = collector.received();
    assert_requests(&received, 400);
    let errors = received.sum(ERRORS, &[]);
    // By chance alone this fails once in 10 to the power of 90 runs.
    assert!((1.0..400.0).contains(&errors), "{errors}");
    assert_eq!(
        console.count(|line| line.contains("ERROR")),
        errors as usize
    );
    Ok(())
}

#[test]
fn each_worker_is_an_instance_of_its_own_with_the_resource_of_the_service() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http)
        .option("--workers", 4)
        .env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=a%20b,service.namespace=shop",
        )
        .start()?;
    let load = Load::on(running.addr()?).clients(16).keep_alive(false);
    load.requests(1000).run()?;
    let mut processes: BTreeSet<String> = running.workers().iter().map(u32::to_string).collect();
    // It pushes what the harness counts.
    processes.insert(running.pid().to_string());
    stop(running)?;

    let received = collector.received();
    let pids = received
        .instances()
        .iter()
        .filter_map(|instance| instance.pid());
    assert_eq!(pids.map(str::to_owned).collect::<BTreeSet<_>>(), processes);
    let ids: BTreeSet<_> = received
        .instances()
        .iter()
        .map(|instance| instance.id())
        .collect();
    assert_eq!(ids.len(), 5);
    for instance in received.instances() {
        assert_eq!(instance.service(), "metrics-push");
        let attribute = |name| instance.resource_attribute(name);
        assert_eq!(attribute("deployment.environment.name"), Some("a b"));
        assert_eq!(attribute("service.namespace"), Some("shop"));
    }
    Ok(())
}

#[test]
fn the_master_pushes_harness_metrics_until_the_end() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = pushing_to(&collector, protocol)
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .start()?;
        Load::on(running.addr()?).clients(8).requests(300).run()?;
        let victim = running.workers()[0];
        process::send(victim, Signal::SIGKILL)?;
        let sum = |metric: &str, attributes: &[(&str, &str)]| {
            collector.received().sum(metric, attributes)
        };
        poll("news of a new worker", SOON, || {
            let crashes = sum("worker.spawns", &[("reason", "crash")]);
            (crashes == 1.0 && sum("worker.up", &[]) == 2.0).then_some(())
        })?;
        stop(running)?;
        assert_eq!(sum("worker.spawns", &[("reason", "boot")]), 2.0);
        assert_eq!(sum("worker.spawns", &[]), 3.0);
        assert_eq!(sum("worker.exits", &[("kind", "signal")]), 1.0);
        assert_eq!(sum("worker.exits", &[("kind", "clean")]), 2.0);
        assert_eq!(sum("worker.requests", &[]), 300.0);
        assert_eq!(sum("worker.up", &[]), 0.0);
        let senders = collector.received().per_instance("worker.up", &[]);
        assert_eq!(senders.len(), 1, "{senders:?}");
    }
    Ok(())
}
