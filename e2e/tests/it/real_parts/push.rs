//! The Collector exposes the pushed metrics exactly, for each worker and as a sum.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use e2e::{
    SOON, Signal, Temporary, http,
    otelcol::{self, Otelcol, Written, attribute},
    poll, process,
};

use super::{DURATIONS, REQUESTS, pushing_to, send, series, wait_for_sum};
use crate::{
    otlp::{PROTOCOLS, Protocol},
    support::stop,
};

#[test]
fn the_collector_has_the_exact_totals_of_four_workers_in_both_protocols() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for protocol in PROTOCOLS {
        let directory = Temporary::new("totals")?;
        let mut otelcol =
            Otelcol::new(&executable, "otel-collector.yaml")?.with_file(directory.path())?;
        let collector = otelcol.start()?;
        let ports = otelcol.ports();
        let running = pushing_to("metrics-push", ports, protocol)
            .option("--workers", 4)
            .start()?;
        for round in 1..=5 {
            send(&running, 200)?;
            // Each time with exports of several workers in between.
            wait_for_sum(ports.service, REQUESTS, 200.0 * f64::from(round))?;
        }
        stop(running)?;
        for metric in [REQUESTS, DURATIONS] {
            wait_for_sum(ports.service, metric, 1000.0)?;
            assert_eq!(series(ports.service, metric)?.len(), 1, "{metric}");
            wait_for_sum(ports.workers, metric, 1000.0)?;
            assert_eq!(series(ports.workers, metric)?.len(), 4, "{metric}");
        }
        otelcol::stop(collector)?;
        assert_eq!(
            total_in_file(&Written::read(directory.path())?)?,
            (4, 1000),
            "{protocol:?}"
        );
    }
    Ok(())
}

/// The number of instances in the file, and the sum of their last totals.
fn total_in_file(written: &Written) -> Result<(usize, u64)> {
    let mut last = BTreeMap::new();
    for resource in written.at(&["resourceMetrics"]) {
        let instance = attribute(&resource["resource"], "service.instance.id");
        let instance = instance.context("a resource without an instance")?;
        let scopes = resource["scopeMetrics"].as_array().context("no scopes")?;
        let metrics = scopes
            .iter()
            .filter_map(|scope| scope["metrics"].as_array());
        let requests = metrics
            .flatten()
            .find(|metric| metric["name"] == "num_requests");
        if let Some(metric) = requests {
            let total = metric["sum"]["dataPoints"][0]["asInt"].as_str();
            last.insert(instance, total.context("no number")?.parse::<u64>()?);
        }
    }
    Ok((last.len(), last.values().sum()))
}

#[test]
fn the_sum_over_workers_never_goes_down_when_workers_are_killed_and_replaced() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    let mut otelcol = Otelcol::new(&executable, "otel-collector.yaml")?;
    let _collector = otelcol.start()?;
    let ports = otelcol.ports();
    let running = pushing_to("metrics-push", ports, Protocol::Http).start()?;
    let mut totals = vec![0.0];
    for round in 1..=4 {
        send(&running, 200)?;
        poll("the sum", SOON, || {
            let sum = series(ports.service, REQUESTS).ok()?.first().copied()?;
            totals.push(sum);
            (sum >= 200.0 * f64::from(round)).then_some(())
        })?;
        // What was pushed is safe from now on.
        let victim = running.workers()[0];
        process::send(victim, Signal::SIGKILL)?;
        poll("the new worker", SOON, || {
            let workers = running.workers();
            let replaced = workers.len() == 2 && !workers.contains(&victim);
            (replaced && http::get(running.addr().ok()?, "/healthz").is_ok()).then_some(())
        })?;
    }
    send(&running, 200)?;
    stop(running)?;
    wait_for_sum(ports.service, REQUESTS, 1000.0)?;
    wait_for_sum(ports.service, DURATIONS, 1000.0)?;
    assert!(totals.is_sorted(), "{totals:?}");
    assert_eq!(series(ports.service, REQUESTS)?.len(), 1);
    Ok(())
}

#[test]
fn a_service_in_several_pods_and_versions_has_one_sum() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    let mut otelcol = Otelcol::new(&executable, "otel-collector.yaml")?;
    let _collector = otelcol.start()?;
    let ports = otelcol.ports();
    let attributes = [
        "service.version=1,host.name=a,k8s.pod.name=a-1",
        "service.version=2,host.name=b,k8s.pod.name=b-1,cloud.region=north",
    ];
    let running = attributes.map(|attributes| {
        pushing_to("metrics-push", ports, Protocol::Http)
            .env("OTEL_RESOURCE_ATTRIBUTES", attributes)
            .start()
    });
    for (round, pod) in (1..).zip(running) {
        let pod = pod?;
        send(&pod, 200)?;
        stop(pod)?;
        wait_for_sum(ports.service, REQUESTS, 200.0 * f64::from(round))?;
    }
    assert_eq!(series(ports.service, REQUESTS)?, [400.0]);
    assert_eq!(series(ports.service, DURATIONS)?, [400.0]);
    Ok(())
}

#[test]
fn deltas_from_a_sender_add_up_to_the_same_sum() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    let mut otelcol = Otelcol::new(&executable, "otel-collector.yaml")?;
    let _collector = otelcol.start()?;
    let ports = otelcol.ports();
    let running = pushing_to("metrics-push", ports, Protocol::Grpc)
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
        .option("--workers", 4)
        .start()?;
    for round in 1..=3 {
        send(&running, 200)?;
        wait_for_sum(ports.service, REQUESTS, 200.0 * f64::from(round))?;
    }
    stop(running)?;
    wait_for_sum(ports.service, DURATIONS, 600.0)
}
