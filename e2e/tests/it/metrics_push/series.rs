//! The series follow the contract for any request.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use collector::{Collector, Config, Format, Received};
use e2e::{
    Load, SOON,
    http::{self, Connection},
    poll,
};
use serde_json::Value;

use super::{ACTIVE, DURATION, REQUESTS, assert_requests, pushing_to, wait_for_requests};
use crate::{
    otlp::{Protocol, collector},
    support::stop,
};

/// The names of a series' attributes, for each series of a metric.
fn attribute_names(received: &Received, metric: &str) -> BTreeSet<Vec<String>> {
    let series = received.series(metric, &[]);
    let names =
        |attributes: &[(String, String)]| attributes.iter().map(|(name, _)| name.clone()).collect();
    series.map(|series| names(&series.attributes)).collect()
}

#[test]
fn labels_are_exactly_those_of_the_contract() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    Load::on(running.addr()?).clients(4).requests(100).run()?;
    stop(running)?;
    let received = collector.received();
    assert_requests(&received, 100);
    let attributes = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/"),
        ("network.protocol.version", "1.1"),
        ("url.scheme", "http"),
    ];
    assert_eq!(received.count(DURATION, &attributes), 100);
    let names = attributes.map(|(name, _)| name.to_owned()).to_vec();
    assert_eq!(
        attribute_names(&received, DURATION),
        BTreeSet::from([names])
    );
    let names = vec!["http.request.method".to_owned(), "url.scheme".to_owned()];
    assert_eq!(attribute_names(&received, ACTIVE), BTreeSet::from([names]));
    assert_eq!(
        attribute_names(&received, REQUESTS),
        BTreeSet::from([vec![]])
    );
    Ok(())
}

#[test]
fn no_request_can_create_a_series() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    let addr = running.addr()?;
    for number in 0..50 {
        http::get(addr, &format!("/nope/{number}"))?;
        http::get(addr, &format!("/?q={number}"))?;
        http::request(addr, &format!("FOO{number}"), "/")?;
        let mut connection = Connection::open(addr)?;
        connection.send(&format!(
            "GET / HTTP/1.1\r\nHost: evil{number}:{number}\r\n\r\n"
        ))?;
        connection.receive()?;
    }
    http::get(addr, "/healthz")?;
    stop(running)?;
    let received = collector.received();
    assert_eq!(received.sum(REQUESTS, &[]), 100.0);
    let of = |method| received.count(DURATION, &[("http.request.method", method)]);
    assert_eq!((of("GET"), of("_OTHER")), (150, 50));
    assert_eq!(received.count(DURATION, &[("http.route", "/")]), 150);
    // One more than the two of the route: those that match none are a series without a route.
    assert_eq!(received.series(DURATION, &[]).count(), 3, "{received:?}");
    assert_eq!(received.series(ACTIVE, &[]).count(), 2, "{received:?}");
    Ok(())
}

#[test]
fn a_known_method_without_a_route_keeps_its_name() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    let status = {
        let mut connection = Connection::open(running.addr()?)?;
        connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")?;
        connection.receive()?.status
    };
    assert!([404, 405].contains(&status), "{status}");
    stop(running)?;
    let received = collector.received();
    assert_eq!(
        received.count(DURATION, &[("http.request.method", "POST")]),
        1
    );
    assert_eq!(received.sum(REQUESTS, &[]), 0.0);
    Ok(())
}

#[test]
fn active_requests_return_to_zero_whatever_clients_do() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, Protocol::Http).start()?;
    let addr = running.addr()?;
    Load::on(addr).clients(16).requests(500).run()?;
    for _ in 0..100 {
        // Nobody waits for these answers: the first connection is closed at once, the second in the middle of a request.
        Connection::open(addr)?.send_get("/")?;
        Connection::open(addr)?
            .send("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")?;
    }
    wait_for_requests(&collector, 500)?;
    let active = || collector.received().sum(ACTIVE, &[]);
    poll("no active requests", SOON, || {
        (active() == 0.0).then_some(())
    })?;
    stop(running)?;
    let received = collector.received();
    assert!(received.series(ACTIVE, &[]).next().is_some());
    assert_eq!(received.sum(ACTIVE, &[]), 0.0);
    // A request is counted by both or by none, although nobody waited for its answer.
    assert_eq!(
        received.count(DURATION, &[("http.response.status_code", "200")]) as f64,
        received.sum(REQUESTS, &[])
    );
    Ok(())
}

/// An output that the test reads while the collector writes it.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn names_units_and_descriptions_are_those_of_the_contract() -> Result<()> {
    let lines = Lines::default();
    let collector = Collector::start(Config {
        format: Format::Json,
        output: Box::new(lines.clone()),
        ..Config::silent()
    })?;
    let running = pushing_to(&collector, Protocol::Http)
        .env("ERROR_RATE", "1")
        .start()?;
    Load::on(running.addr()?).requests(3).run()?;
    stop(running)?;
    collector.stop();

    let bytes = lines
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let text = String::from_utf8(bytes)?;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        for metric in metrics(&serde_json::from_str(line)?) {
            let field = |name: &str| metric[name].as_str().unwrap_or_default().to_owned();
            if ["worker.", "process."]
                .iter()
                .any(|of_master| field("name").starts_with(of_master))
            {
                // What the master counts has names and units of its own.
                continue;
            }
            found.insert([field("name"), field("unit"), field("description")]);
            if metric["name"] == DURATION {
                let bounds = &metric["histogram"]["dataPoints"][0]["explicitBounds"];
                let bounds = bounds.as_array().context("there are no bounds")?;
                assert_eq!((bounds.len(), bounds[0].as_f64()), (14, Some(0.005)));
            }
        }
    }
    let expected = [
        ["error_count", "{error}", "Number of errors"],
        [
            ACTIVE,
            "{request}",
            "Number of active HTTP server requests.",
        ],
        [DURATION, "s", "Duration of HTTP server requests."],
        [REQUESTS, "{request}", "Number of requests"],
    ];
    assert_eq!(found, expected.map(|texts| texts.map(str::to_owned)).into());
    Ok(())
}

/// All metrics of a line of OTLP JSON.
fn metrics(line: &Value) -> Vec<&Value> {
    fn list(value: &Value) -> impl Iterator<Item = &Value> {
        value.as_array().into_iter().flatten()
    }
    let resources = list(&line["resourceMetrics"]);
    let scopes = resources.flat_map(|resource| list(&resource["scopeMetrics"]));
    scopes.flat_map(|scope| list(&scope["metrics"])).collect()
}
