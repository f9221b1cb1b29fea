//! `logs`: console and collector receive every record, and every lost record is reported.

mod configuration;
mod console;
mod correlation;
mod embedded;
mod feedback;
mod outage;
mod panics;
mod records;
mod stop;

use anyhow::Result;
use collector::{Collector, ReceivedLog, proto::common::v1::any_value::Value};
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
fn logs() -> Program {
    Program::new("logs")
        .arg("--demo")
        .env("WEB_CONCURRENCY", "1")
        .env("ERROR_RATE", "0")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
}

/// The program pushing to this collector.
fn pushing_to(collector: &Collector, protocol: Protocol) -> Program {
    otlp::pushing_to(logs(), collector, protocol)
}

/// One request with header lines of the test's own, and a body.
fn send(running: &Running, start: &str, headers: &str, body: &str) -> Result<Response> {
    let mut connection = Connection::open(running.addr()?)?;
    let length = body.len();
    connection.send(&format!(
        "{start} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    ))?;
    connection.receive()
}

fn get(running: &Running, path: &str) -> Result<Response> {
    send(running, &format!("GET {path}"), "", "")
}

/// Waits for a record.
fn wait_for(
    collector: &Collector,
    what: &str,
    wanted: impl Fn(&ReceivedLog) -> bool,
) -> Result<ReceivedLog> {
    poll(what, SOON, || {
        let received = collector.received();
        received.logs().iter().find(|log| wanted(log)).cloned()
    })
}

/// Waits for the access line of a path, which is the last record of its request.
fn wait_for_access(collector: &Collector, path: &str) -> Result<ReceivedLog> {
    wait_for(collector, &format!("the access line of {path}"), |log| {
        log.scope == "access" && text(log, "url.path") == Some(path)
    })
}

/// The text of an attribute.
fn text<'a>(log: &'a ReceivedLog, key: &str) -> Option<&'a str> {
    match log.attribute(key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The number of an attribute.
fn int(log: &ReceivedLog, key: &str) -> Option<i64> {
    match log.attribute(key)? {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}
