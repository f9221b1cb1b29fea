//! Every request is counted once, and all workers report the same sum.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::{Load, SOON, Signal, http::Connection, poll, process};

use super::{ACTIVE, REQUESTS, Scrape, pull};
use crate::support::{assert_all_answered, stop};

#[test]
fn every_request_is_in_the_sum_of_two_and_four_workers() -> Result<()> {
    for (workers, keep_alive) in [(2, true), (2, false), (4, true), (4, false)] {
        let running = pull().option("--workers", workers).start()?;
        let load = Load::on(running.addr()?).clients(16).keep_alive(keep_alive);
        let report = load.requests(1000).run()?;
        assert_eq!(report.statuses.get(&200), Some(&1000), "{report}");
        // What a client got is counted, so that the next scrape has it.
        let scrape = Scrape::of(running.addr()?)?;
        assert_eq!(scrape.sum(REQUESTS), 1000.0, "{}", scrape.text);
        // Duration and end are recorded when the answer was written, which the client may see a moment earlier.
        poll("all requests to have ended", SOON, || {
            let scrape = Scrape::of(running.addr().ok()?).ok()?;
            (scrape.observed() == 1000.0 && scrape.sum(ACTIVE) == 0.0).then_some(())
        })?;
        stop(running)?;
    }
    Ok(())
}

#[test]
fn all_workers_report_the_same_sum_at_once() -> Result<()> {
    const WORKERS: usize = 4;
    let running = pull().option("--workers", WORKERS).start()?;
    let addr = running.addr()?;
    let mut connections = Vec::new();
    let mut seen = BTreeSet::new();
    let mut requests = 0.0;
    // A connection stays with its worker, so that one to each can be asked in turn.
    poll("a connection to each worker", SOON, || {
        let mut connection = Connection::open(addr).ok()?;
        connection.send_get("/").ok()?;
        requests += 1.0;
        if seen.insert(connection.receive().ok()?.pid()?) {
            connections.push(connection);
        }
        (seen.len() == WORKERS).then_some(())
    })?;
    for round in 0..20 {
        let asked = round % WORKERS;
        connections[asked].send_get("/")?;
        assert_eq!(connections[asked].receive()?.status, 200);
        requests += 1.0;
        for connection in &mut connections {
            connection.send_get("/metrics")?;
            let scrape = Scrape::parse(connection.receive()?.body)?;
            assert_eq!(scrape.sum(REQUESTS), requests, "{}", scrape.text);
        }
    }
    Ok(())
}

#[test]
fn a_killed_worker_is_logged_and_its_counts_stay() -> Result<()> {
    let running = pull().start()?;
    let addr = running.addr()?;
    Load::on(addr).clients(16).requests(1000).run()?;
    let before = Scrape::of(addr)?;
    assert_eq!(before.sum(REQUESTS), 1000.0);
    assert_eq!(before.sum("worker_up"), 2.0);
    let spawns = "worker_spawns_total";
    assert_eq!(before.sum_with(spawns, "reason=\"boot\""), 2.0);
    assert_eq!(before.sum_with(spawns, "reason=\"crash\""), 0.0);

    let old = running.ready()?.serving();
    process::send(old[0], Signal::SIGKILL)?;
    let scrape = poll("the new worker", SOON, || {
        let scrape = Scrape::of(addr).ok()?;
        assert_eq!(scrape.sum(REQUESTS), 1000.0);
        let replaced = scrape.sum_with(spawns, "reason=\"crash\"") == 1.0;
        (replaced && scrape.sum("worker_up") == 2.0).then_some(scrape)
    })?;
    let killed = scrape.sum_with("worker_exits_total", "kind=\"signal\"");
    assert_eq!(killed, 1.0);
    let load = Load::on(addr).clients(16).keep_alive(false).requests(1000);
    assert_eq!(load.run()?.answered, 1000);
    assert_eq!(Scrape::of(addr)?.sum(REQUESTS), 2000.0);
    Ok(())
}

#[test]
fn a_reload_under_load_loses_no_count_although_two_workers_share_a_slot_for_a_while() -> Result<()>
{
    let running = pull().start()?;
    let addr = running.addr()?;
    let traffic = Load::on(addr).clients(16).start()?;
    for reload in 1..=3 {
        traffic.wait_for_answers(200, SOON)?;
        running.signal(Signal::SIGHUP)?;
        poll("the reload", 2 * SOON, || {
            let reloaded = |line: &str| line.contains("reloaded: 2 workers replaced");
            (running.console().count(reloaded) == reload).then_some(())
        })?;
    }
    let report = traffic.stop()?;
    assert_all_answered(&report, &running);
    let scrape = Scrape::of(addr)?;
    assert_eq!(
        scrape.sum(REQUESTS),
        report.answered as f64,
        "{}",
        scrape.text
    );
    let of_reload = |sample: &&String| {
        sample.starts_with("worker_spawns_total{") && sample.contains("reason=\"reload\"")
    };
    let spawned = scrape.samples.keys().filter(of_reload);
    let spawned: f64 = spawned.map(|sample| scrape.samples[sample]).sum();
    assert_eq!(spawned, 6.0, "{}", scrape.text);
    assert_eq!(scrape.sum("worker_up"), 2.0, "{}", scrape.text);
    Ok(())
}

#[test]
fn simulated_errors_are_counted_and_logged_but_not_shown() -> Result<()> {
    let running = pull().env("ERROR_RATE", "0.5").start()?;
    let report = Load::on(running.addr()?).clients(4).requests(400).run()?;
    assert_eq!(report.statuses.get(&200), Some(&400), "{report}");
    let errors = Scrape::of(running.addr()?)?.sum("error_count_total");
    let console = running.console().clone();
    stop(running)?;
    // By chance alone this fails once in 10 to the power of 90 runs.
    assert!((1.0..400.0).contains(&errors), "{errors}");
    let logged = console.count(|line| line.contains("ERROR"));
    assert_eq!(logged, errors as usize, "{console}");
    Ok(())
}
