//! The caller's trace context is extracted and propagated. A malformed one only loses the link to the caller.

use anyhow::{Context, Result};
use collector::ReceivedSpan;
use e2e::{SOON, poll};

use super::{SPAN, TRACE, TRACEPARENT, get, pushing_to, send, text, wait_for, wait_for_name};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn a_request_continues_the_callers_trace_with_its_tracestate() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let headers = format!("{TRACEPARENT}tracestate: a=1\r\ntracestate: b=2\r\n");
    assert_eq!(send(&running, "GET /chain", &headers)?.status, 200);
    let server = wait_for_name(&collector, "GET /chain")?;
    assert_eq!(server.parent_span_id(), SPAN);
    for name in ["GET /chain", "GET", "GET /", "internal work"] {
        let span = wait_for_name(&collector, name)?;
        assert_eq!(span.trace_id(), TRACE, "{name}");
        assert_eq!(span.span.trace_state, "a=1,b=2", "{name}");
    }
    Ok(())
}

#[test]
fn baggage_reaches_the_next_service_and_forges_no_header() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let headers = "baggage: user=jo%20an\r\nbaggage: cart=7;p=%0d%0aX: 1\r\n";
    let answer = send(&running, "GET /demo/relay", headers)?;
    assert_eq!(answer.body, "cart=7\nuser=jo an\n");
    assert_eq!(
        send(&running, "GET /chain", "baggage: a=b;p=%00%0a\r\n")?.status,
        200
    );
    Ok(())
}

#[test]
fn a_malformed_traceparent_starts_a_new_trace_and_fails_no_request() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let long = "0".repeat(8_000);
    for (number, bad) in [
        "",
        "00",
        "00-0-0-0",
        "00-1-2-01",
        "00-00000000000000000000000000000000-0000000000000000-00",
        "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319ö-b7ad6b7169203331-01",
        &long,
        // A second header makes the first one ambiguous.
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: 00",
    ]
    .into_iter()
    .enumerate()
    {
        let headers = format!("traceparent: {bad}\r\ntracestate: a=1\r\n");
        let path = format!("/demo/burst/{number}");
        assert_eq!(
            send(&running, &format!("GET {path}"), &headers)?.status,
            200
        );
        let span = wait_for(&collector, &path, |span| {
            text(span, "url.path") == Some(path.as_str())
        })?;
        assert_eq!(span.parent_span_id(), "", "{bad}");
        assert_eq!(span.span.trace_state, "", "{bad}");
        assert_ne!(span.trace_id(), TRACE, "{bad}");
    }
    Ok(())
}

#[test]
fn an_unsampled_trace_stays_unsampled_in_the_next_service() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let unsampled = TRACEPARENT.replace("-01\r", "-00\r");
    assert_eq!(send(&running, "GET /chain", &unsampled)?.status, 200);
    get(&running, "/")?;
    stop(&mut running)?;
    let received = collector.received();
    let traces: Vec<_> = received
        .spans()
        .iter()
        .map(ReceivedSpan::trace_id)
        .collect();
    assert_eq!(traces.len(), 2, "{traces:?}");
    assert!(traces.iter().all(|trace| trace != TRACE));
    // The log has the trace's id all the same.
    let line = |line: &str| line.contains("Request received") && line.contains(TRACE);
    assert_eq!(running.console().count(line), 1, "{}", running.console());
    Ok(())
}

#[test]
fn a_sampler_without_a_parent_decides_for_itself() -> Result<()> {
    for (sampler, argument, header, expected) in [
        ("always_on", "", TRACEPARENT.replace("-01\r", "-00\r"), 20),
        ("always_off", "", TRACEPARENT.to_owned(), 0),
        ("traceidratio", "0", TRACEPARENT.to_owned(), 0),
        ("parentbased_always_off", "", TRACEPARENT.to_owned(), 20),
        ("parentbased_always_off", "", String::new(), 0),
        ("parentbased_traceidratio", "1", String::new(), 20),
    ] {
        let collector = collector()?;
        let mut running = pushing_to(&collector, PROTOCOLS[0])
            .env("OTEL_TRACES_SAMPLER", sampler)
            .env("OTEL_TRACES_SAMPLER_ARG", argument)
            .start()?;
        for _ in 0..10 {
            send(&running, "GET /", &header)?;
        }
        stop(&mut running)?;
        let spans = collector.received().spans().len();
        assert_eq!(spans, expected, "{sampler} {header}");
    }
    Ok(())
}

#[test]
fn a_ratio_records_whole_traces() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0])
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.5")
        .start()?;
    for _ in 0..200 {
        get(&running, "/chain")?;
    }
    stop(&mut running)?;
    let received = collector.received();
    let mut traces = std::collections::HashMap::<_, usize>::new();
    for span in received.spans() {
        *traces.entry(span.trace_id()).or_default() += 1;
    }
    // With 200 coins fewer than 50 heads, or more than 150, are seen once in 10^12 tries.
    assert!((50..=150).contains(&traces.len()), "{}", traces.len());
    assert!(traces.values().all(|spans| *spans == 4), "{traces:?}");
    Ok(())
}

#[test]
fn only_the_configured_propagators_are_used() -> Result<()> {
    for (propagators, linked, baggage) in [
        ("tracecontext", true, ""),
        ("baggage", false, "a=1\n"),
        ("none", false, ""),
    ] {
        let collector = collector()?;
        let running = pushing_to(&collector, PROTOCOLS[0])
            .env("OTEL_PROPAGATORS", propagators)
            .start()?;
        let headers = format!("{TRACEPARENT}baggage: a=1\r\n");
        let answer = send(&running, "GET /demo/relay", &headers)?;
        assert_eq!(answer.body, baggage, "{propagators}");
        let outer = wait_for_name(&collector, "GET /demo/relay")?;
        assert_eq!(outer.trace_id() == TRACE, linked, "{propagators}");
        let inner = wait_for_name(&collector, "GET /demo/baggage")?;
        assert_eq!(inner.trace_id() == outer.trace_id(), linked);
    }
    Ok(())
}

#[test]
fn a_disabled_sdk_makes_no_span_and_propagates_the_callers_context() -> Result<()> {
    let collector = collector()?;
    let second = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let first = pushing_to(&collector, PROTOCOLS[0])
        .env("OTEL_SDK_DISABLED", "true")
        .env("CHAIN_URL", format!("http://{}/", second.addr()?))
        .arg("--traceresponse")
        .start()?;
    let answer = send(&first, "GET /chain", TRACEPARENT)?;
    assert_eq!(answer.status, 200);
    // It has no span of its own to name.
    assert_eq!(answer.header("traceresponse"), None);
    let span = wait_for_name(&collector, "GET /")?;
    assert_eq!(
        (span.trace_id(), span.parent_span_id()),
        (TRACE.into(), SPAN.into())
    );
    assert_eq!(get(&first, "/chain")?.status, 200);
    Ok(())
}

#[test]
fn the_client_gets_the_ids_if_configured() -> Result<()> {
    let collector = collector()?;
    let silent = pushing_to(&collector, PROTOCOLS[0]).start()?;
    assert_eq!(get(&silent, "/")?.header("traceresponse"), None);
    let running = pushing_to(&collector, PROTOCOLS[0])
        .env("TRACERESPONSE", "true")
        .start()?;
    for (path, name) in [
        ("/", "GET /"),
        ("/nowhere", "GET"),
        ("/demo/panic", "GET /demo/panic"),
    ] {
        let answer = send(&running, &format!("GET {path}"), TRACEPARENT)?;
        let ids = answer.header("traceresponse").context("no header")?;
        let span = wait_for(&collector, name, |span| {
            span.span.name == name && span.trace_id() == TRACE
        })?;
        assert_eq!(ids, format!("00-{TRACE}-{}-01", span.span_id()), "{path}");
    }
    let unsampled = TRACEPARENT.replace("-01\r", "-00\r");
    let answer = send(&running, "GET /", &unsampled)?;
    let ids = answer.header("traceresponse").context("no header")?;
    assert!(
        ids.starts_with(&format!("00-{TRACE}-")) && ids.ends_with("-00"),
        "{ids}"
    );
    assert_eq!(get(&running, "/healthz")?.header("traceresponse"), None);
    Ok(())
}

#[test]
fn work_on_other_threads_and_in_spawned_tasks_belongs_to_its_request() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    get(&running, "/demo/threads")?;
    let server = wait_for_name(&collector, "GET /demo/threads")?;
    for name in ["in web::block", "in a spawned task"] {
        let span = wait_for_name(&collector, name)?;
        assert_eq!(span.parent_span_id(), server.span_id(), "{name}");
        assert_eq!(span.trace_id(), server.trace_id(), "{name}");
        let ids = format!("trace_id={} span_id={}", span.trace_id(), span.span_id());
        let logged = |line: &str| line.contains(name) && line.ends_with(&ids);
        running.wait_for_line(logged, SOON)?;
    }
    Ok(())
}

#[test]
fn the_next_request_does_not_inherit_a_trace() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let mut connection = e2e::http::Connection::open(running.addr()?)?;
    connection.send(&format!(
        "GET /chain HTTP/1.1\r\nHost: x\r\n{TRACEPARENT}\r\n"
    ))?;
    connection.receive()?;
    for _ in 0..3 {
        connection.send_get("/")?;
        connection.receive()?;
    }
    let roots = poll("three traces of their own", SOON, || {
        let received = collector.received();
        let roots = received.spans().iter();
        let roots = roots.filter(|span| span.parent_span_id().is_empty());
        let roots: Vec<_> = roots.map(ReceivedSpan::trace_id).collect();
        (roots.len() == 3).then_some(roots)
    })?;
    let different: std::collections::HashSet<_> = roots.iter().collect();
    assert_eq!(different.len(), 3, "{roots:?}");
    assert!(!roots.iter().any(|trace| trace == TRACE));
    Ok(())
}
