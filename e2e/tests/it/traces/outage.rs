//! A collector that is down, slow or missing does not affect requests, and every lost span is counted.

use std::net::TcpListener;

use anyhow::{Context, Result};
use collector::{Collector, Config, Fault};
use e2e::{Program, Running, SOON, poll};

use super::{get, pushing_to, traces};
use crate::{
    otlp::{PROTOCOLS, Protocol, collector},
    support::stop,
};

fn arrived(collector: &Collector) -> u64 {
    collector.received().spans().len() as u64
}

/// Lost and total spans from the last log line of the worker.
fn told_at_the_end(running: &Running) -> Option<(u64, u64)> {
    let lines = running.console().lines();
    let line = lines
        .iter()
        .find(|line| line.text.contains("spans were lost"))?;
    let (_, words) = line.text.split_once("] ")?;
    let mut words = words.split(' ');
    let lost = words.next()?.parse().ok()?;
    Some((lost, words.nth(1)?.parse().ok()?))
}

/// A program with a small queue that logs only lost spans.
fn with_small_queue(program: Program) -> Program {
    program
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "100")
        .env("RUST_LOG", "warn")
}

#[test]
fn losses_of_a_burst_are_reported_exactly() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = with_small_queue(pushing_to(&collector, protocol)).start()?;
        for _ in 0..3 {
            assert_eq!(get(&running, "/demo/burst/9999")?.status, 200);
        }
        stop(&mut running)?;
        let told = told_at_the_end(&running);
        let (lost, all) = told.with_context(|| running.console().to_string())?;
        // With the spans of the requests.
        assert_eq!(all, 30_000, "{}", running.console());
        assert_eq!(arrived(&collector) + lost, all, "{}", running.console());
        assert!(lost > 0, "the queue was meant to overflow");
    }
    Ok(())
}

#[test]
fn an_outage_and_its_end_are_logged_once_with_the_number_of_lost_spans() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = with_small_queue(pushing_to(&collector, protocol)).start()?;
        let mut sent = 0;
        let mut burst = |count: u64| -> Result<()> {
            assert_eq!(get(&running, &format!("/demo/burst/{count}"))?.status, 200);
            sent += count + 1;
            Ok(())
        };
        collector.set_fault(Fault::Unavailable);
        burst(49)?;
        let down = |line: &str| line.contains("spans do not arrive at http://");
        let line = running.wait_for_line(down, SOON)?;
        assert!(line.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{line}");
        burst(199)?;
        let refused = collector.received().refused();
        poll("another refused export", SOON, || {
            (collector.received().refused() > refused).then_some(())
        })?;
        assert_eq!(arrived(&collector), 0);

        collector.set_fault(Fault::None);
        poll("an export that succeeds", SOON, || {
            burst(0).ok()?;
            (arrived(&collector) > 0).then_some(())
        })?;
        running.wait_for_line(|line| line.contains("spans arrive again at http://"), SOON)?;
        assert_eq!(running.console().count(down), 1, "{}", running.console());
        stop(&mut running)?;
        let told = told_at_the_end(&running);
        let (lost, all) = told.with_context(|| running.console().to_string())?;
        assert_eq!(all, sent, "{}", running.console());
        assert_eq!(arrived(&collector) + lost, all, "{}", running.console());
    }
    Ok(())
}

#[test]
fn a_refusal_is_accounted_for_exactly_by_four_workers_under_load() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("WEB_CONCURRENCY", "4")
            .env("RUST_LOG", "warn")
            .start()?;
        let load = || {
            e2e::Load::on(running.addr()?)
                .clients(8)
                .keep_alive(false)
                .requests(500)
                .run()
        };
        let mut answered = load()?.answered;
        collector.set_fault(Fault::Unavailable);
        answered += load()?.answered;
        collector.set_fault(Fault::None);
        answered += load()?.answered;
        assert_eq!(answered, 1_500);
        stop(&mut running)?;
        let lines = running.console().lines();
        let lost: u64 = lines
            .iter()
            .filter(|line| line.text.contains("spans were lost"))
            .filter_map(|line| {
                line.text
                    .split_once("] ")?
                    .1
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .sum();
        // Two spans for each request.
        assert_eq!(
            arrived(&collector) + lost,
            2 * answered,
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
        get(&running, "/demo/burst/49")?;
        poll("an export that hangs", SOON, || {
            (collector.received().held() > 0).then_some(())
        })?;
        for _ in 0..200 {
            assert_eq!(get(&running, "/demo/burst/9")?.status, 200);
        }
        stop(&mut running)?;
        // Nothing was confirmed, so all of it counts as lost.
        let told = told_at_the_end(&running);
        assert_eq!(told, Some((2_050, 2_050)), "{}", running.console());
    }
    Ok(())
}

#[test]
fn spans_of_a_timed_out_export_are_reported_although_they_may_have_arrived() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = with_small_queue(pushing_to(&collector, protocol))
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
            .start()?;
        collector.set_fault(Fault::Hang);
        get(&running, "/demo/burst/49")?;
        running.wait_for_line(|line| line.contains("spans do not arrive"), SOON)?;
        collector.set_fault(Fault::None);
        get(&running, "/demo/burst/49")?;
        running.wait_for_line(|line| line.contains("spans arrive again"), SOON)?;
        stop(&mut running)?;
        let told = told_at_the_end(&running);
        let (lost, all) = told.with_context(|| running.console().to_string())?;
        assert_eq!(all, 100, "{}", running.console());
        assert!(arrived(&collector) + lost >= all, "{}", running.console());
    }
    Ok(())
}

#[test]
fn a_collector_that_starts_later_receives_the_queued_spans() -> Result<()> {
    for protocol in PROTOCOLS {
        let early = collector()?;
        let (http, grpc) = (early.http_addr(), early.grpc_addr());
        let program = pushing_to(&early, protocol).env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
        early.stop();
        let mut running = program.start()?;
        for _ in 0..10 {
            get(&running, "/")?;
        }
        let config = Config {
            http,
            grpc,
            ..Config::silent()
        };
        let late = Collector::start(config)?;
        stop(&mut running)?;
        assert_eq!(arrived(&late), 20, "{}", running.console());
        assert_eq!(told_at_the_end(&running), None);
    }
    Ok(())
}

#[test]
fn a_missing_collector_is_logged_with_the_likely_mistake() -> Result<()> {
    let unused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for protocol in ["http/protobuf", "grpc"] {
        let mut running = with_small_queue(traces())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{unused}"))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .start()?;
        get(&running, "/demo/burst/6")?;
        let down = |line: &str| line.contains("spans do not arrive");
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
    get(&running, "/demo/burst/999")?;
    stop(&mut running)?;
    assert_eq!(arrived(&collector), 1_000);
    let warned = |line: &str| line.contains(" WARN ") || line.contains(" ERROR ");
    assert_eq!(running.console().count(warned), 0, "{}", running.console());
    Ok(())
}
