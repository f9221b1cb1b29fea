//! Mistakes are told before anything is started, and telemetry can be turned off.

use anyhow::Result;
use collector::Signal;
use e2e::{Program, SOON, console::Stream};
use serde_json::Value;

use super::{SPAN, TRACE, TRACEPARENT, get, pushing_to, send, traces};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn a_bad_value_is_one_line_that_names_the_variable_and_the_value() -> Result<()> {
    for (variable, value) in [
        ("RUST_LOG", "traces=loud"),
        ("OTEL_TRACES_EXPORTER", "paper"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_PROPAGATORS", "none,baggage"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "none"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("ERROR_RATE", "often"),
        ("CHAIN_URL", "https://example.org"),
        ("TRACERESPONSE", "perhaps"),
    ] {
        assert_refused(traces().env(variable, value), variable, value)?;
    }
    let ratio = traces().env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    for value in ["10%", "2", "-0.5"] {
        let variable = "OTEL_TRACES_SAMPLER_ARG";
        assert_refused(ratio.clone().env(variable, value), variable, value)?;
    }
    Ok(())
}

fn assert_refused(program: Program, variable: &str, value: &str) -> Result<()> {
    let ended = program.run(SOON)?;
    let stderr = &ended.stderr;
    assert_eq!(ended.status.code(), Some(2), "{variable}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{variable}: {stderr}");
    // A flag's variable goes by the flag's name.
    let flag = variable.to_lowercase().replace('_', "-");
    assert!(
        stderr.contains(variable) || stderr.contains(&flag),
        "{stderr}"
    );
    assert!(stderr.contains(value), "{stderr}");
    Ok(())
}

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
fn the_routes_to_play_with_are_served_only_on_demand() -> Result<()> {
    let running = Program::new("traces")
        .env("OTEL_TRACES_EXPORTER", "none")
        .start()?;
    for path in ["/demo/panic", "/demo/burst/1", "/demo/endless"] {
        assert_eq!(get(&running, path)?.status, 404, "{path}");
    }
    Ok(())
}
