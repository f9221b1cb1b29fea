//! The records of a request carry the caller's trace and span ids.

use anyhow::Result;

use super::{SPAN, TRACE, TRACEPARENT, pushing_to, send, text, wait_for_access};
use crate::otlp::{PROTOCOLS, collector};

#[test]
fn a_traceparent_is_on_every_record_also_from_other_threads_and_on_the_access_line() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = pushing_to(&collector, protocol).start()?;
        send(&running, "GET /demo/threads", TRACEPARENT, "")?;
        wait_for_access(&collector, "/demo/threads")?;
        let received = collector.received();
        let of_request = |log: &&collector::ReceivedLog| text(log, "url.path").is_some();
        let logs: Vec<_> = received.logs().iter().filter(of_request).collect();
        let mut bodies: Vec<_> = logs.iter().map(|log| log.body()).collect();
        bodies.sort();
        let expected = [
            "GET /demo/threads 200",
            "in a spawned task",
            "in the handler",
            "in web::block",
        ];
        assert_eq!(bodies, expected);
        for log in logs {
            assert_eq!(log.trace_id(), TRACE, "{log:?}");
            assert_eq!(log.span_id(), SPAN, "{log:?}");
            assert_eq!(text(log, "http.route"), Some("/demo/threads"));
            let ids = format!("trace_id={TRACE} span_id={SPAN}");
            let on_console = |line: &str| line.contains(&log.body()) && line.ends_with(&ids);
            assert_eq!(
                running.console().count(on_console),
                1,
                "{}",
                running.console()
            );
        }
    }
    Ok(())
}

#[test]
fn a_malformed_traceparent_only_loses_the_correlation() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let long = "0".repeat(8_000);
    for (number, bad) in [
        "",
        "00",
        "00-0-0-0",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319ö-b7ad6b7169203331-01",
        &long,
        // A second header makes the first one ambiguous.
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: 00",
    ]
    .into_iter()
    .enumerate()
    {
        let (path, header) = (format!("/{number}"), format!("traceparent: {bad}\r\n"));
        // There is no such path: what counts is that the request is served, and not refused.
        let response = send(&running, &format!("GET {path}"), &header, "")?;
        assert_eq!(response.status, 404, "{bad}");
        let log = wait_for_access(&collector, &path)?;
        assert_eq!((log.trace_id(), log.span_id()), Default::default(), "{bad}");
    }
    Ok(())
}

#[test]
fn the_next_request_does_not_inherit_a_trace() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    send(&running, "GET /first", TRACEPARENT, "")?;
    send(&running, "GET /second", "", "")?;
    assert_eq!(wait_for_access(&collector, "/first")?.trace_id(), TRACE);
    assert_eq!(wait_for_access(&collector, "/second")?.trace_id(), "");
    Ok(())
}
