//! Faults of requests.

use std::{cmp::Ordering, collections::BTreeSet};

use anyhow::Result;
use e2e::http;

use super::{Incident, demo, list, with_dependency};
use crate::support::stop;

#[test]
fn a_slow_dependency_is_the_client_span_of_the_slow_request() -> Result<()> {
    let (incident, dependency) = with_dependency("/demo/sleep/1200")?;
    assert_eq!(incident.get("/chain")?, 200);
    incident.wait_for("/api/service", |service| {
        let chain = list(&service["routes"]).find(|route| route["route"] == "/chain")?;
        (chain["p95"].as_f64()? > 1.0).then_some(())
    })?;
    let (page, trace) = incident.trace("GET /chain", 3)?;
    assert_eq!(trace[2]["kind"], "client");
    assert!(
        trace[2]["milliseconds"].as_f64() >= Some(1200.0),
        "{trace:?}"
    );
    incident.take_image("slow-dependency", &page, "#waterfall", 240)?;
    stop(incident.service)?;
    stop(dependency)
}

#[test]
fn a_call_for_each_item_is_a_row_of_equal_client_spans() -> Result<()> {
    let (incident, dependency) = with_dependency("/demo/sleep/10")?;
    assert_eq!(incident.get("/demo/orders/30")?, 200);
    let (page, trace) = incident.trace("GET /demo/orders/{count}", 61)?;
    let calls = trace.iter().filter(|span| span["kind"] == "client");
    assert_eq!(calls.count(), 30);
    incident.take_image("n-plus-one", &page, "#waterfall", 420)?;
    stop(incident.service)?;
    stop(dependency)
}

#[test]
fn random_paths_and_methods_make_no_series() -> Result<()> {
    let incident = Incident::start(&demo())?;
    let address = incident.service.addr()?;
    for number in 0..200 {
        assert_eq!(incident.get(&format!("/{number}"))?, 404);
    }
    for number in 0..20 {
        assert_eq!(
            http::request(address, &format!("M{number}"), "/")?.status,
            405
        );
    }
    incident.wait_for("/api/metrics", |metrics| {
        let duration = list(metrics).find(|card| card["name"] == "http.server.request.duration")?;
        let mut counts: Vec<_> = list(&duration["series"])
            .map(|series| series["value"].as_f64())
            .collect();
        counts.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
        (counts == [Some(20.0), Some(200.0)]).then_some(())
    })?;
    let names = incident.wait_for("/api/traces", |rows| {
        let names = list(rows).filter_map(|row| Some(row["name"].as_str()?.to_owned()));
        let names: BTreeSet<_> = names.collect();
        names.contains("HTTP /").then_some(names)
    })?;
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["GET", "HTTP /"]);
    incident.logs("GET /199 404", 1)?;
    incident.take_image("cardinality-attack", "/", ".routes", 180)?;
    stop(incident.service)
}
