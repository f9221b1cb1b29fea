//! A panic becomes a record, even if it ends the worker.

use anyhow::Result;
use e2e::{SOON, poll};

use super::{TRACE, TRACEPARENT, get, int, pushing_to, send, text, wait_for};
use crate::otlp::{PROTOCOLS, collector};

#[test]
fn a_panic_in_a_handler_is_a_record_with_location_and_trace_and_the_worker_goes_on() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let workers = running.workers();
    let answer = send(&running, "GET /demo/panic", TRACEPARENT, "")?;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("asked"), "{answer:?}");
    let log = wait_for(&collector, "the panic", |log| log.scope == "panic")?;
    assert_eq!(log.record.severity_text, "ERROR");
    assert_eq!(log.body(), "panicked: a request asked for it");
    assert_eq!(text(&log, "exception.type"), Some("panic"));
    assert_eq!(
        text(&log, "exception.message"),
        Some("a request asked for it")
    );
    assert_eq!(text(&log, "code.file.path"), Some("logs/src/demo.rs"));
    assert!(int(&log, "code.line.number").is_some_and(|line| line > 1));
    assert_eq!(text(&log, "http.route"), Some("/demo/panic"));
    assert_eq!(log.trace_id(), TRACE);
    let access = super::wait_for_access(&collector, "/demo/panic")?;
    assert_eq!(int(&access, "http.response.status_code"), Some(500));
    assert_eq!(get(&running, "/")?.status, 200);
    assert_eq!(running.workers(), workers);
    Ok(())
}

#[test]
fn a_panic_that_ends_its_worker_is_exported_before_the_exit() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        // No interval passes: what arrives was exported because of the panic.
        let running = pushing_to(&collector, protocol)
            .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000")
            .start()?;
        let old = running.workers();
        assert!(get(&running, "/demo/crash").is_err());
        for message in ["a request asked for the end", "and once more"] {
            wait_for(&collector, message, |log| {
                text(log, "exception.message") == Some(message)
            })?;
        }
        poll("another worker", SOON, || {
            let new = get(&running, "/").ok()?.pid()?;
            (!old.contains(&new)).then_some(())
        })?;
    }
    Ok(())
}
