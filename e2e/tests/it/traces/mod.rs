//! `traces`: every request is a span, traces cross requests and processes, and every lost span is reported.

mod chain;
mod configuration;
mod context;
mod conventions;
mod embedded;
mod endings;
mod outage;
mod stop;

use anyhow::Result;
use collector::{Collector, ReceivedSpan, proto::common::v1::any_value::Value};
use e2e::{
    Program, Running, SOON,
    http::{Connection, Response},
    poll,
};

use crate::otlp::{self, Protocol};

/// A trace and a span of a caller, and the header that names them.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const TRACEPARENT: &str =
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";

/// The program with one worker, without simulated errors, exporting several times a second.
fn traces() -> Program {
    Program::new("traces")
        .arg("--demo")
        .env("WEB_CONCURRENCY", "1")
        .env("ERROR_RATE", "0")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
}

/// The program pushing to this collector.
fn pushing_to(collector: &Collector, protocol: Protocol) -> Program {
    otlp::pushing_to(traces(), collector, protocol)
}

/// One request with header lines of the test's own.
fn send(running: &Running, start: &str, headers: &str) -> Result<Response> {
    let mut connection = Connection::open(running.addr()?)?;
    connection.send(&format!(
        "{start} HTTP/1.1\r\nHost: evil.example\r\n{headers}\r\n"
    ))?;
    connection.receive()
}

fn get(running: &Running, path: &str) -> Result<Response> {
    send(running, &format!("GET {path}"), "")
}

/// Waits for a span.
fn wait_for(
    collector: &Collector,
    what: &str,
    wanted: impl Fn(&ReceivedSpan) -> bool,
) -> Result<ReceivedSpan> {
    poll(what, SOON, || {
        let received = collector.received();
        received.spans().iter().find(|span| wanted(span)).cloned()
    })
}

/// Waits for a span of this name.
fn wait_for_name(collector: &Collector, name: &str) -> Result<ReceivedSpan> {
    wait_for(collector, &format!("the span {name}"), |span| {
        span.span.name == name
    })
}

/// The text of an attribute.
fn text<'a>(span: &'a ReceivedSpan, key: &str) -> Option<&'a str> {
    match span.attribute(key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The number of an attribute.
fn int(span: &ReceivedSpan, key: &str) -> Option<i64> {
    match span.attribute(key)? {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

/// The status code of a span, 0 for unset and 2 for an error, and its description.
fn status(span: &ReceivedSpan) -> (i32, &str) {
    let status = span.span.status.as_ref();
    status.map_or((0, ""), |status| (status.code, status.message.as_str()))
}
