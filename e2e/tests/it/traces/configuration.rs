//! Telemetry can be turned off, or printed.

use anyhow::Result;
use collector::Signal;
use e2e::{Program, console::Stream};
use serde_json::Value;

use super::{SPAN, TRACE, TRACEPARENT, get, pushing_to, send, traces};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn a_disabled_sdk_and_the_exporter_none_push_nothing_and_embed_nothing() -> Result<()> {
    for (variable, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let collector = collector()?;
        for program in [pushing_to(&collector, PROTOCOLS[0]), traces()] {
            let mut running = program.env(variable, value).start()?;
            assert_eq!(get(&running, "/")?.status, 200);
            assert_eq!(get(&running, "/chain")?.status, 200);
            stop(&mut running)?;
            assert_eq!(running.console().text(Stream::Out), "");
            let embedded = |line: &str| line.contains("collector");
            assert_eq!(running.console().count(embedded), 0);
        }
        assert_eq!(collector.received().requests(Signal::Traces), 0);
    }
    Ok(())
}

#[test]
fn the_console_exporter_prints_one_json_line_for_each_span() -> Result<()> {
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0])
        .env("OTEL_TRACES_EXPORTER", "console")
        .env("OTEL_SERVICE_NAME", "shop")
        .env("ERROR_RATE", "1")
        .start()?;
    send(&running, "GET /", TRACEPARENT)?;
    stop(&mut running)?;
    let text = running.console().text(Stream::Out);
    let spans = text.lines().map(serde_json::from_str::<Value>);
    let spans = spans.collect::<Result<Vec<_>, _>>()?;
    let [work, server] = &spans[..] else {
        panic!("{text}");
    };
    assert_eq!(
        (&server["name"], &server["kind"]),
        (&"GET /".into(), &"SERVER".into())
    );
    assert_eq!(server["trace_id"], TRACE);
    assert_eq!(server["parent_id"], SPAN);
    assert_eq!(server["attributes"]["http.response.status_code"], 200);
    assert_eq!(server["status"]["status_code"], "UNSET");
    assert_eq!(server["resource"]["service.name"], "shop");
    assert_eq!(work["parent_id"], server["span_id"]);
    assert_eq!(work["status"]["status_code"], "ERROR");
    assert_eq!(work["events"][0]["name"], "exception");
    assert_eq!(collector.received().requests(Signal::Traces), 0);
    Ok(())
}

#[test]
fn demonstration_routes_are_served_only_on_demand() -> Result<()> {
    let running = Program::new("traces")
        .env("OTEL_TRACES_EXPORTER", "none")
        .start()?;
    for path in ["/demo/panic", "/demo/burst/1", "/demo/endless"] {
        assert_eq!(get(&running, path)?.status, 404, "{path}");
    }
    Ok(())
}
