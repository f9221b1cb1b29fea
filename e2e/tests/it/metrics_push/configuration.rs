//! What the variables of the OpenTelemetry specification promise, and what becomes of mistakes.

use anyhow::Result;
use e2e::{Load, SOON, console::Stream, program::Ended};

use super::{metrics_push, pushing_to};
use crate::{
    otlp::{Protocol, collector},
    support::stop,
};

/// Asserts that the program refused to start with one line that has all these words.
#[track_caller]
fn assert_usage_error(ended: &Ended, words: &[&str]) {
    let stderr = &ended.stderr;
    assert_eq!(ended.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
}

#[test]
fn an_endpoint_that_can_never_work_is_refused_with_the_variable_and_the_fix() -> Result<()> {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const OWN_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    for (protocol, variable, endpoint, fix) in [
        ("http/protobuf", ENDPOINT, "localhost:4318", "http://"),
        ("grpc", ENDPOINT, "localhost:4317", "http://"),
        ("http/protobuf", ENDPOINT, "https://localhost:4318", "tls"),
        ("grpc", ENDPOINT, "https://localhost:4317", "tls"),
        ("http/protobuf", ENDPOINT, "http://localhost:4317", "4318"),
        ("grpc", ENDPOINT, "http://localhost:4318", "4317"),
        (
            "http/protobuf",
            OWN_ENDPOINT,
            "http://localhost:4317/v1/metrics",
            "4318",
        ),
        ("http/protobuf", ENDPOINT, "http://local host", "http://"),
    ] {
        let ended = metrics_push()
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env(variable, endpoint)
            .run(SOON)?;
        assert_usage_error(&ended, &[variable, endpoint, fix]);
    }
    Ok(())
}

#[test]
fn other_values_that_are_not_allowed_are_refused_with_variable_and_value() -> Result<()> {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("ERROR_RATE", "1.5"),
        ("ERROR_RATE", "NaN"),
    ] {
        assert_usage_error(
            &metrics_push().env(variable, value).run(SOON)?,
            &[variable, value],
        );
    }
    Ok(())
}

#[test]
fn the_first_failed_export_names_the_likely_mistake() -> Result<()> {
    let collector = collector()?;
    for (endpoint, protocol, fix) in [
        (
            collector.grpc_addr(),
            "http/protobuf",
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        ),
        (
            collector.http_addr(),
            "grpc",
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
    ] {
        let running = metrics_push()
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}"))
            .start()?;
        Load::on(running.addr()?).requests(5).run()?;
        running.wait_for_line(
            |line| line.contains(fix) && line.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
            SOON,
        )?;
    }
    Ok(())
}

#[test]
fn a_disabled_sdk_and_the_exporter_none_push_nothing_and_embed_nothing() -> Result<()> {
    for (variable, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ] {
        let collector = collector()?;
        for program in [pushing_to(&collector, Protocol::Http), metrics_push()] {
            let running = program.env(variable, value).start()?;
            let report = Load::on(running.addr()?).clients(4).requests(200).run()?;
            assert_eq!(report.statuses.get(&200), Some(&200), "{report}");
            let console = running.console().clone();
            stop(running)?;
            assert_eq!(console.text(Stream::Out), "");
            assert_eq!(
                console.count(|line| line.contains("collector")),
                0,
                "{console}"
            );
        }
        let received = collector.received();
        assert_eq!(received.requests(collector::Signal::Metrics), 0);
        assert!(received.instances().is_empty(), "{received:?}");
    }
    Ok(())
}

#[test]
fn the_console_exporter_prints_and_pushes_nothing() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http)
        .env("OTEL_METRICS_EXPORTER", "console")
        .start()?;
    Load::on(running.addr()?).requests(20).run()?;
    running.wait_for_line(|line| line.contains("num_requests"), SOON)?;
    let console = running.console().clone();
    stop(running)?;
    assert!(
        console.text(Stream::Out).contains("num_requests"),
        "{console}"
    );
    assert_eq!(collector.received().requests(collector::Signal::Metrics), 0);
    Ok(())
}

#[test]
fn the_name_of_the_service_is_that_of_its_variable() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http)
        .env("OTEL_SERVICE_NAME", "shop")
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=other")
        .start()?;
    Load::on(running.addr()?).requests(5).run()?;
    stop(running)?;
    let received = collector.received();
    assert!(!received.instances().is_empty());
    assert!(
        received
            .instances()
            .iter()
            .all(|instance| instance.service() == "shop")
    );
    Ok(())
}
