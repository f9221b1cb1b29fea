//! The last records arrive before the program exits.

use anyhow::Result;
use collector::proto::common::v1::any_value::Value;
use e2e::{Load, SOON, Signal, http::Connection};

use super::{get, pushing_to, wait_for};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn the_last_records_arrive_even_if_no_interval_has_passed() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000")
            .start()?;
        get(&running, "/last")?;
        stop(&mut running)?;
        let received = collector.received();
        let mut bodies = received.logs().iter().map(|log| log.body());
        assert!(bodies.any(|body| body == "GET /last 404"), "{protocol:?}");
    }
    Ok(())
}

#[test]
fn a_stop_under_load_loses_no_record_of_an_answered_request() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("WEB_CONCURRENCY", "2")
            .env("OTEL_BLRP_MAX_QUEUE_SIZE", "1000000")
            .env("RUST_LOG", "warn")
            .start()?;
        let traffic = Load::on(running.addr()?).clients(8).start()?;
        traffic.wait_for_answers(1_000, SOON)?;
        stop(&mut running)?;
        let report = traffic.stop()?;
        assert_eq!(report.lost(), 0, "{report}");
        let received = collector.received();
        let count = |scope| {
            received
                .logs()
                .iter()
                .filter(|log| log.scope == scope)
                .count()
        };
        assert_eq!(count("access") as u64, report.answered, "{protocol:?}");
        assert_eq!(
            count("logs::routes") as u64,
            report.answered,
            "{protocol:?}"
        );
    }
    Ok(())
}

#[test]
fn a_quick_stop_logs_the_requests_that_it_interrupts() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0])
        .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000")
        .env("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "1")
        .start()?;
    let mut connection = Connection::open(running.addr()?)?;
    connection.send_get("/demo/burst/1")?;
    connection.receive()?;
    connection.send_get("/demo/sleep/3600000")?;
    wait_for(&collector, "the request to begin", |log| {
        log.body() == "sleeping"
    })?;
    running.signal(Signal::SIGINT)?;
    running.wait_exit(SOON)?;
    running.wait_gone(SOON)?;
    let received = collector.received();
    let cut = "GET /demo/sleep/3600000 was cut before it was answered";
    let log = received.logs().iter().find(|log| log.body() == cut);
    let log = log.unwrap_or_else(|| panic!("{}", running.console()));
    assert_eq!(log.record.severity_text, "WARN");
    let took = log.attribute("access.duration");
    assert!(matches!(took, Some(Value::DoubleValue(_))), "{took:?}");
    Ok(())
}
