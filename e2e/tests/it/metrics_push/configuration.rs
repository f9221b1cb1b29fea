//! Variables of the OpenTelemetry specification.

use anyhow::Result;
use e2e::{Load, SOON, console::Stream};

use super::{metrics_push, pushing_to};
use crate::{
    otlp::{Protocol, collector},
    support::stop,
};

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
fn otel_service_name_sets_the_name_of_the_service() -> Result<()> {
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
