//! What programs emit follows the registry of the semantic conventions, in the release that
//! the crate `opentelemetry-semantic-conventions` has.

mod registry;

use std::{
    io::{self, Read as _, Write},
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use collector::{Collector, Config, Format};
use e2e::{
    Program,
    http::{self, Connection},
};
use serde_json::Value;

use self::registry::Registry;
use crate::{
    otlp::{self, Protocol},
    support::stop,
};

/// The OTLP JSON lines of a collector.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn parse(&self) -> Result<Vec<Value>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::str::from_utf8(&all)?.lines();
        Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// Every object below a name, with the names of scopes and resources left out.
fn all<'a>(documents: &'a [Value], path: &[&str]) -> Vec<&'a Value> {
    let mut found: Vec<_> = documents.iter().collect();
    for name in path {
        let below = found.into_iter().filter_map(|object| object.get(*name));
        found = below
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect(),
                other => vec![other],
            })
            .collect();
    }
    found
}

fn program(name: &str, collector: &Collector) -> Program {
    let program = Program::new(name)
        .arg("--demo")
        .env("ERROR_RATE", "1")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    otlp::pushing_to(program, collector, Protocol::Http)
}

/// What services emit, of which two meet requests of every kind.
fn emitted() -> Result<Vec<Value>> {
    let lines = Lines::default();
    let collector = Collector::start(Config {
        format: Format::Json,
        output: Box::new(lines.clone()),
        ..Config::default()
    })?;
    let second = program("traces", &collector).start()?;
    let address = second.addr()?;
    // A request that its client gives up.
    let mut given_up = Connection::open(address)?;
    given_up.send_get("/demo/endless")?;
    drop(given_up);
    let chain = format!("http://user:s3cret@{address}/demo/status/404?sig=s3cret&page=2");
    let first = program("all-signals", &collector)
        .env("CHAIN_URL", chain)
        .start()?;
    let address = first.addr()?;
    for path in [
        "/",
        "/?page=2&token=s3cret",
        "/nowhere",
        "/demo/fail",
        "/demo/panic",
        "/chain",
    ] {
        http::get(address, path)?;
    }
    let mut head = TcpStream::connect(address)?;
    head.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    head.read_to_end(&mut Vec::new())?;
    http::request(address, "BREW", "/")?;
    stop(second)?;
    // Nobody listens there now.
    http::get(address, "/chain")?;
    stop(first)?;
    for (name, path) in [("metrics-push", "/"), ("logs", "/?token=s3cret")] {
        let program = Program::new(name).env("ERROR_RATE", "1");
        let third = otlp::pushing_to(program, &collector, Protocol::Http).start()?;
        http::get(third.addr()?, path)?;
        stop(third)?;
    }
    collector.stop();
    lines.parse()
}

#[test]
fn every_metric_span_and_record_follows_the_registry() -> Result<()> {
    let registry = Registry::read()?;
    let documents = emitted()?;
    assert!(!serde_json::to_string(&documents)?.contains("s3cret"));

    let mut kinds = Vec::new();
    for span in all(&documents, &["resourceSpans", "scopeSpans", "spans"]) {
        registry.check_attributes(span)?;
        if let Some(kind) = registry.check_span(span)? {
            let attribute = |name| registry::attribute(span, name).map(ToString::to_string);
            let status = attribute("http.response.status_code");
            kinds.push((kind, status.unwrap_or_default(), attribute("error.type")));
        }
    }
    kinds.sort();
    kinds.dedup();
    let error = |text: &str| Some(format!("{text:?}"));
    let expected = [
        ("client", "", error("connection_refused")),
        ("client", "\"404\"", error("404")),
        ("server", "\"200\"", None),
        ("server", "\"200\"", error("cancelled")),
        ("server", "\"404\"", None),
        ("server", "\"500\"", error("all_signals::routes::WorkError")),
        ("server", "\"500\"", error("panic")),
        ("server", "\"502\"", error("502")),
    ];
    let expected = expected.map(|(kind, status, error)| (kind, status.to_owned(), error));
    assert!(
        expected.iter().all(|kind| kinds.contains(kind)),
        "{kinds:#?}"
    );
    for record in all(&documents, &["resourceLogs", "scopeLogs", "logRecords"]) {
        registry.check_attributes(record)?;
        for event in record
            .get("events")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            registry.check_attributes(event)?;
        }
    }
    let metrics = all(&documents, &["resourceMetrics", "scopeMetrics", "metrics"]);
    let checked: Vec<_> = metrics
        .iter()
        .map(|metric| registry.check_metric(metric))
        .collect::<Result<_>>()?;
    assert!(checked.iter().filter(|checked| **checked).count() >= 2);
    for signal in ["resourceMetrics", "resourceLogs", "resourceSpans"] {
        let resources = all(&documents, &[signal, "resource"]);
        for resource in &resources {
            registry.check_attributes(resource)?;
            for name in [
                "service.name",
                "service.version",
                "service.instance.id",
                "host.name",
                "process.pid",
                "process.creation.time",
                "process.command",
            ] {
                registry::attribute(resource, name).context(name)?;
            }
        }
        assert!(!resources.is_empty(), "{signal}");
    }
    Ok(())
}
