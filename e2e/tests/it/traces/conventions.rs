//! Spans follow the semantic conventions, and their names contain no arbitrary request data.

use anyhow::{Context, Result};
use collector::{Collector, proto::trace::v1::span::SpanKind};
use e2e::Running;

use super::{get, int, pushing_to, send, status, text, wait_for, wait_for_name};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

fn started(collector: &Collector) -> Result<Running> {
    pushing_to(collector, PROTOCOLS[0]).start()
}

#[test]
fn a_server_span_has_route_status_and_the_resource_of_its_worker() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = pushing_to(&collector, protocol).start()?;
        let answer = send(&running, "GET /?token=secret", "User-Agent: test/1\r\n")?;
        let pid = answer.pid().context("no pid")?;
        let span = wait_for_name(&collector, "GET /")?;
        assert_eq!(span.span.kind(), SpanKind::Server);
        assert_eq!(text(&span, "http.request.method"), Some("GET"));
        assert_eq!(text(&span, "http.route"), Some("/"));
        assert_eq!(text(&span, "url.path"), Some("/"));
        assert_eq!(text(&span, "url.scheme"), Some("http"));
        assert_eq!(text(&span, "network.protocol.version"), Some("1.1"));
        assert_eq!(text(&span, "client.address"), Some("127.0.0.1"));
        assert_eq!(text(&span, "user_agent.original"), Some("test/1"));
        assert_eq!(int(&span, "http.response.status_code"), Some(200));
        assert_eq!(status(&span), (0, ""));
        assert_eq!(span.attribute("error.type"), None);
        let all = format!("{:?}", span.span);
        assert!(
            !all.contains("evil.example") && !all.contains("secret"),
            "{all}"
        );
        let resource = |key| span.instance.resource_attribute(key);
        assert_eq!(resource("service.name"), Some("traces"));
        assert_eq!(resource("process.pid"), Some(pid.to_string().as_str()));
        assert!(resource("service.instance.id").is_some_and(|id| id.len() == 36));

        let work = wait_for_name(&collector, "internal work")?;
        assert_eq!(work.parent_span_id(), span.span_id());
        assert_eq!(work.trace_id(), span.trace_id());
        assert_eq!(work.span.kind(), SpanKind::Internal);
    }
    Ok(())
}

#[test]
fn a_request_without_a_route_is_named_by_its_method_alone() -> Result<()> {
    let collector = collector()?;
    let running = started(&collector)?;
    for path in ["/no-such-path", "/demo/no-such-path"] {
        assert_eq!(get(&running, path)?.status, 404);
        let span = wait_for(&collector, path, |span| {
            text(span, "url.path") == Some(path)
        })?;
        assert_eq!(span.span.name, "GET");
        assert_eq!(span.attribute("http.route"), None);
        assert_eq!(int(&span, "http.response.status_code"), Some(404));
        // It is the client's error.
        assert_eq!(status(&span), (0, ""));
        assert_eq!(span.attribute("error.type"), None);
    }
    Ok(())
}

#[test]
fn an_unknown_method_is_other_and_not_in_the_span_name() -> Result<()> {
    let collector = collector()?;
    let running = started(&collector)?;
    let long = "X".repeat(1_000);
    for (path, method) in [("/", "BREW"), ("/nowhere", long.as_str())] {
        send(&running, &format!("{method} {path}"), "")?;
        let span = wait_for(&collector, path, |span| {
            text(span, "url.path") == Some(path)
        })?;
        assert_eq!(text(&span, "http.request.method"), Some("_OTHER"));
        let original = text(&span, "http.request.method_original");
        let original = original.context("no original")?;
        assert!(original.chars().count() <= 257, "{original}");
        assert!(method.starts_with(original.trim_end_matches('…')));
        assert!(["HTTP", "HTTP /"].contains(&span.span.name.as_str()));
    }
    Ok(())
}

#[test]
fn request_data_in_attributes_is_truncated() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0])
        .option("--max-http-header-size", 32_768)
        .start()?;
    let (path, agent) = ("p".repeat(8_000), "ö".repeat(4_000));
    let headers = format!("User-Agent: {agent}\r\n");
    assert_eq!(
        send(&running, &format!("GET /{path}"), &headers)?.status,
        404
    );
    let span = wait_for_name(&collector, "GET")?;
    for key in ["url.path", "user_agent.original"] {
        let value = text(&span, key).context("no value")?;
        assert_eq!(value.chars().count(), 257, "{key}");
        assert!(value.ends_with('…'), "{key}");
    }
    Ok(())
}

#[test]
fn a_5xx_status_is_an_error_and_a_4xx_status_is_not() -> Result<()> {
    let collector = collector()?;
    let running = started(&collector)?;
    for (code, expected) in [(404, 0), (429, 0), (500, 2), (503, 2), (301, 0)] {
        get(&running, &format!("/demo/status/{code}"))?;
        let span = wait_for(&collector, "the span", |span| {
            int(span, "http.response.status_code") == Some(code)
        })?;
        assert_eq!(span.span.name, "GET /demo/status/{code}");
        assert_eq!(status(&span), (expected, ""), "{code}");
        let error = (expected == 2).then(|| code.to_string());
        assert_eq!(text(&span, "error.type"), error.as_deref());
    }
    Ok(())
}

#[test]
fn a_health_check_is_in_no_trace() -> Result<()> {
    let collector = collector()?;
    let mut running = started(&collector)?;
    for _ in 0..5 {
        assert_eq!(get(&running, "/healthz")?.body, "ok");
    }
    get(&running, "/")?;
    stop(&mut running)?;
    let received = collector.received();
    let mut names: Vec<_> = received
        .spans()
        .iter()
        .map(|span| &span.span.name)
        .collect();
    names.sort();
    assert_eq!(names, ["GET /", "internal work"]);
    Ok(())
}

#[test]
fn the_simulated_error_is_an_exception_of_the_work_and_an_event_of_the_request() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0])
        .env("ERROR_RATE", "1")
        .start()?;
    let answer = get(&running, "/")?;
    assert_eq!(answer.status, 200);
    assert!(answer.pid().is_some(), "{answer:?}");
    let server = wait_for_name(&collector, "GET /")?;
    // The client got what it asked for.
    assert_eq!(status(&server), (0, ""));
    let [event] = &server.span.events[..] else {
        panic!("{:?}", server.span.events);
    };
    assert_eq!(event.name, "internal error, not shown to the client");

    let work = wait_for_name(&collector, "internal work")?;
    assert_eq!(status(&work), (2, "the internal work was not done"));
    let [exception] = &work.span.events[..] else {
        panic!("{:?}", work.span.events);
    };
    assert_eq!(exception.name, "exception");
    let told = format!("{:?}", exception.attributes);
    for part in [
        "exception.type",
        "traces::routes::WorkError",
        "exception.message",
        "exception.stacktrace",
        "caused by: a random error occurred",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    Ok(())
}

#[test]
fn a_line_of_the_log_names_its_trace_and_span() -> Result<()> {
    let collector = collector()?;
    let running = started(&collector)?;
    get(&running, "/")?;
    let span = wait_for_name(&collector, "GET /")?;
    let ids = format!("trace_id={} span_id={}", span.trace_id(), span.span_id());
    let line = running.wait_for_line(|line| line.contains("Request received"), e2e::SOON)?;
    assert!(line.ends_with(&ids), "{line}");
    Ok(())
}
