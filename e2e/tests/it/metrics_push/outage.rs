//! A collector that is down, refuses or hangs does not affect clients. Each process logs the outage once, and totals are
//! exact afterwards.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use collector::{Collector, Config, Fault};
use e2e::{Load, Running, SOON, Signal, http::Connection, poll, process};

use super::{assert_requests, pushing_to, wait_for_requests};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

/// Two workers and the master.
const SENDERS: usize = 3;

/// Sends this number of requests and requires all answers.
fn answer(running: &Running, requests: u64) -> Result<()> {
    let load = Load::on(running.addr()?).clients(8).keep_alive(false);
    let report = load.requests(requests).run()?;
    assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
    Ok(())
}

fn is_outage(line: &str) -> bool {
    line.contains("do not arrive")
}

fn is_return(line: &str) -> bool {
    line.contains("arrive again")
}

/// Waits until each worker has printed such a line.
fn wait_for_each_sender(running: &Running, what: &str, line: fn(&str) -> bool) -> Result<()> {
    poll(what, SOON, || {
        (running.console().count(line) >= SENDERS).then_some(())
    })
    .with_context(|| running.console().to_string())
}

/// Starts a collector on the ports of a stopped one.
fn start_again(http: SocketAddr, grpc: SocketAddr) -> Result<Collector> {
    let config = Config {
        http,
        grpc,
        ..Config::silent()
    };
    Collector::start(config).context("cannot start a collector again")
}

#[test]
fn a_collector_that_starts_later_receives_everything() -> Result<()> {
    for protocol in PROTOCOLS {
        let early = collector()?;
        let program = pushing_to(&early, protocol);
        let (http, grpc) = (early.http_addr(), early.grpc_addr());
        early.stop();
        let running = program.start()?;
        answer(&running, 300)?;
        wait_for_each_sender(&running, "the news of an outage", is_outage)?;
        let late = start_again(http, grpc)?;
        wait_for_each_sender(&running, "the news of its end", is_return)?;
        answer(&running, 300)?;
        stop(running)?;
        assert_requests(&late.received(), 600);
    }
    Ok(())
}

#[test]
fn a_collector_that_restarts_receives_everything() -> Result<()> {
    for protocol in PROTOCOLS {
        let first = collector()?;
        let (http, grpc) = (first.http_addr(), first.grpc_addr());
        let running = pushing_to(&first, protocol).start()?;
        answer(&running, 300)?;
        wait_for_requests(&first, 300)?;
        first.stop();
        answer(&running, 300)?;
        wait_for_each_sender(&running, "the news of an outage", is_outage)?;
        let second = start_again(http, grpc)?;
        answer(&running, 300)?;
        wait_for_each_sender(&running, "the news of its end", is_return)?;
        stop(running)?;
        // Totals are pushed, so that the second one has the first one's too.
        assert_requests(&second.received(), 900);
    }
    Ok(())
}

#[test]
fn each_process_logs_an_outage_once() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    for outage in 1..=2 {
        collector.set_fault(Fault::Unavailable);
        let told = |line: fn(&str) -> bool| running.console().count(line) == outage * SENDERS;
        poll("the news of an outage", SOON, || {
            told(is_outage).then_some(())
        })?;
        // An export of a worker is up to four requests, with its further attempts.
        let refused = collector.received().refused();
        poll("more failed exports", SOON, || {
            (collector.received().refused() >= refused + 16).then_some(())
        })?;
        assert!(told(is_outage), "{}", running.console());
        collector.set_fault(Fault::None);
        poll("the news of its end", SOON, || {
            told(is_return).then_some(())
        })?;
    }
    answer(&running, 100)?;
    let console = running.console().clone();
    stop(running)?;
    assert_requests(&collector.received(), 100);
    // The ready line, the news, and the two lines of a stop: the SDK's own complaints would be many more.
    assert!(console.lines().len() <= 3 + 4 * SENDERS, "{console}");
    Ok(())
}

#[test]
fn memory_does_not_grow_during_an_outage() -> Result<()> {
    const MEBIBYTE: u64 = 1 << 20;
    let collector = collector()?;
    collector.set_fault(Fault::Unavailable);
    let running = pushing_to(&collector, Protocol::Http).start()?;
    answer(&running, 1000)?;
    wait_for_each_sender(&running, "the news of an outage", is_outage)?;
    let memory =
        |pids: &[u32]| -> Result<u64> { pids.iter().map(|pid| process::memory(*pid)).sum() };
    let before = memory(&running.workers())?;
    answer(&running, 10_000)?;
    let after = memory(&running.workers())?;
    assert!(after < before + 8 * MEBIBYTE, "{before} became {after}");
    collector.set_fault(Fault::None);
    stop(running)?;
    assert_requests(&collector.received(), 11_000);
    Ok(())
}

#[test]
fn a_collector_that_hangs_delays_neither_requests_nor_the_stop() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        collector.set_fault(Fault::Hang);
        let program = pushing_to(&collector, protocol).env("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
        let mut running = program.start()?;
        answer(&running, 300)?;
        wait_for_each_sender(&running, "the news of an outage", is_outage)?;
        running.signal(Signal::SIGTERM)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn a_collector_that_hung_receives_everything_later() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let program = pushing_to(&collector, protocol).env("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
        let running = program.start()?;
        answer(&running, 300)?;
        collector.set_fault(Fault::Hang);
        answer(&running, 300)?;
        wait_for_each_sender(&running, "the news of an outage", is_outage)?;
        collector.set_fault(Fault::None);
        wait_for_each_sender(&running, "the news of its end", is_return)?;
        stop(running)?;
        assert_requests(&collector.received(), 600);
    }
    Ok(())
}

#[test]
fn no_worker_survives_its_master_even_if_the_collector_is_gone_too() -> Result<()> {
    for fault in [None, Some(Fault::Hang)] {
        let collector = collector()?;
        let mut running = pushing_to(&collector, Protocol::Http)
            .option("--workers", 4)
            .start()?;
        let traffic = Load::on(running.addr()?).clients(16).start()?;
        traffic.wait_for_answers(200, SOON)?;
        let mut idle = Connection::open(running.addr()?)?;
        idle.send_get("/")?;
        idle.receive()?;
        match fault {
            Some(fault) => collector.set_fault(fault),
            None => collector.stop(),
        }
        running.signal(Signal::SIGKILL)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
        traffic.stop()?;
    }
    Ok(())
}
