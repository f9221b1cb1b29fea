//! A collector that is down, slow or missing does not affect requests, and every lost record is counted.

use std::net::TcpListener;

use anyhow::{Context, Result};
use collector::{Collector, Fault};
use e2e::{Running, SOON, poll};

use super::{get, logs, pushing_to, wait_for};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

/// Number of received records of a burst.
fn arrived(collector: &Collector) -> u64 {
    let received = collector.received();
    let burst = |log: &&collector::ReceivedLog| log.scope == "burst";
    received.logs().iter().filter(burst).count() as u64
}

/// Lost and total records from the last log lines of the workers.
fn told_at_the_end(running: &Running) -> Option<(u64, u64)> {
    let lines = running.console().lines();
    let line = lines
        .iter()
        .find(|line| line.text.contains("log records were lost"))?;
    let (_, words) = line.text.split_once("] ")?;
    let mut words = words.split(' ');
    let lost = words.next()?.parse().ok()?;
    Some((lost, words.nth(1)?.parse().ok()?))
}

/// A program with a small queue that only logs the records of bursts.
fn with_small_queue(program: e2e::Program) -> e2e::Program {
    program
        .env("OTEL_BLRP_MAX_QUEUE_SIZE", "100")
        .env("OTEL_RUST_LOG", "off,burst=info")
        .env("RUST_LOG", "warn")
}

#[test]
fn losses_of_a_burst_are_reported_exactly() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = with_small_queue(pushing_to(&collector, protocol)).start()?;
        for _ in 0..3 {
            assert_eq!(get(&running, "/demo/burst/10000")?.status, 200);
        }
        stop(&mut running)?;
        let (lost, all) =
            told_at_the_end(&running).with_context(|| running.console().to_string())?;
        assert_eq!(all, 30_000, "{}", running.console());
        assert_eq!(arrived(&collector) + lost, all, "{}", running.console());
        assert!(lost > 0, "the queue was meant to overflow");
    }
    Ok(())
}

#[test]
fn an_outage_and_its_end_are_logged_once_with_the_number_of_lost_records() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let program = with_small_queue(pushing_to(&collector, protocol));
        let mut running = program
            .env(
                "OTEL_RUST_LOG",
                "off,burst=info,logs=info,actix_telemetry=info",
            )
            .start()?;
        collector.set_fault(Fault::Unavailable);
        assert_eq!(get(&running, "/demo/burst/50")?.status, 200);
        let down = |line: &str| line.contains("log records do not arrive at http://");
        let line = running.wait_for_line(down, SOON)?;
        assert!(line.contains("50 more are lost, 50 in total"), "{line}");
        assert!(line.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{line}");
        assert_eq!(get(&running, "/demo/burst/50")?.status, 200);
        // The batch has failed when the queue, which is filled once more, has room again.
        let refused = collector.received().refused();
        poll("another refused export", SOON, || {
            (collector.received().refused() > refused).then_some(())
        })?;

        collector.set_fault(Fault::None);
        poll("an export that succeeds", SOON, || {
            get(&running, "/demo/burst/1").ok()?;
            (arrived(&collector) > 0).then_some(())
        })?;
        let up = |line: &str| line.contains("log records arrive again at http://");
        running.wait_for_line(up, SOON)?;
        // The collector is told, too.
        let told = wait_for(&collector, "the report", |log| up(&log.body()))?;
        assert!(super::int(&told, "lost").is_some(), "{told:?}");
        assert_eq!(running.console().count(down), 1, "{}", running.console());
        stop(&mut running)?;
        let (lost, all) =
            told_at_the_end(&running).with_context(|| running.console().to_string())?;
        let others = collector.received().logs().len() as u64 - arrived(&collector);
        assert_eq!(
            arrived(&collector) + others + lost,
            all,
            "{}",
            running.console()
        );
    }
    Ok(())
}

#[test]
fn a_hanging_collector_delays_neither_requests_nor_the_stop() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        collector.set_fault(Fault::Hang);
        let mut running = with_small_queue(pushing_to(&collector, protocol)).start()?;
        get(&running, "/demo/burst/50")?;
        poll("an export that hangs", SOON, || {
            (collector.received().held() > 0).then_some(())
        })?;
        for _ in 0..200 {
            assert_eq!(get(&running, "/demo/burst/10")?.status, 200);
        }
        stop(&mut running)?;
        // Nothing was confirmed, so all of it counts as lost.
        let told = told_at_the_end(&running);
        assert_eq!(told, Some((2_050, 2_050)), "{}", running.console());
    }
    Ok(())
}

#[test]
fn a_missing_collector_is_logged_with_the_likely_mistake() -> Result<()> {
    let unused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for protocol in ["http/protobuf", "grpc"] {
        let mut running = with_small_queue(logs())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{unused}"))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .start()?;
        get(&running, "/demo/burst/7")?;
        let down = |line: &str| line.contains("log records do not arrive");
        let line = running.wait_for_line(down, SOON)?;
        assert!(line.contains(&unused.to_string()), "{line}");
        stop(&mut running)?;
        let told = told_at_the_end(&running);
        assert_eq!(told, Some((7, 7)), "{}", running.console());
    }
    Ok(())
}

#[test]
fn nothing_is_logged_if_nothing_was_lost() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, Protocol::Http).start()?;
    get(&running, "/demo/burst/1000")?;
    stop(&mut running)?;
    assert_eq!(arrived(&collector), 1_000);
    let warned = |line: &str| line.contains(" WARN ") || line.contains(" ERROR ");
    assert_eq!(running.console().count(warned), 0, "{}", running.console());
    Ok(())
}
