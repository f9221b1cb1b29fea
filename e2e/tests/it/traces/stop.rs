//! The spans of answered requests arrive after every kind of stop.

use anyhow::Result;
use e2e::{Load, SOON};

use super::{get, int, pushing_to};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn the_last_spans_arrive_even_if_no_interval_has_passed() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .start()?;
        get(&running, "/chain")?;
        stop(&mut running)?;
        assert_eq!(collector.received().spans().len(), 4, "{protocol:?}");
    }
    Ok(())
}

#[test]
fn a_stop_under_load_loses_no_span_of_an_answered_request() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("WEB_CONCURRENCY", "2")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "1000000")
            .env("RUST_LOG", "warn")
            .start()?;
        let traffic = Load::on(running.addr()?).clients(64).start()?;
        traffic.wait_for_answers(1_000, SOON)?;
        stop(&mut running)?;
        let report = traffic.stop()?;
        assert_eq!(report.lost(), 0, "{report}");
        let received = collector.received();
        let count = |name: &str| {
            let spans = received.spans().iter();
            spans.filter(|span| span.span.name == name).count() as u64
        };
        assert_eq!(count("GET /"), report.answered, "{protocol:?}");
        assert_eq!(count("internal work"), report.answered, "{protocol:?}");
    }
    Ok(())
}

#[test]
fn a_chain_in_progress_at_a_stop_is_answered() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0])
        .env("WEB_CONCURRENCY", "2")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "1000000")
        .env("RUST_LOG", "off")
        .start()?;
    let traffic = Load::on(running.addr()?)
        .path("/chain")
        .clients(16)
        .start()?;
    traffic.wait_for_answers(500, SOON)?;
    stop(&mut running)?;
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}");
    // The port does not take the inner call any more: the client is told.
    let known = |(status, _): (&u16, &u64)| [200, 502].contains(status);
    assert!(report.statuses.iter().all(known), "{report}");
    let received = collector.received();
    for (status, answers) in &report.statuses {
        let chains = received.spans().iter().filter(|span| {
            span.span.name == "GET /chain"
                && int(span, "http.response.status_code") == Some((*status).into())
        });
        assert_eq!(chains.count() as u64, *answers, "{status}: {report}");
    }
    Ok(())
}
