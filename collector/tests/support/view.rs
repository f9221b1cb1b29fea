//! The live view, as a browser and a script get it, and what is sent to it.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use collector::{Collector, Config, Format};
use serde_json::{Value, json};

use super::{Answer, exchange, post};

pub(crate) const TRACE: &str = "5b8efff798038103d269b633813fc60c";

pub(crate) fn start() -> Collector {
    let config = Config {
        view: true,
        keep_records: 0,
        format: Format::Silent,
        ..Config::silent()
    };
    Collector::start(config).expect("the collector starts")
}

pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    exchange(address, request.as_bytes())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, &format!("Host: {address}\r\n"))
}

pub(crate) fn page(address: SocketAddr, path: &str) -> String {
    let answer = get(address, path);
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.body).expect("UTF-8")
}

pub(crate) fn api(address: SocketAddr, path: &str) -> Value {
    get(address, path).json()
}

pub(crate) fn send(address: SocketAddr, signal: &str, body: &Value) {
    let path = format!("/v1/{signal}");
    let answer = post(
        address,
        &path,
        "application/json",
        body.to_string().as_bytes(),
    );
    assert_eq!((answer.status, answer.json()), (200, json!({})));
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("a clock").as_nanos()).expect("this century")
}

pub(crate) fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

pub(crate) fn resource(pid: &str) -> Value {
    json!({"attributes": [attribute("service.name", "shop"), attribute("process.pid", pid)]})
}

/// A server span of a worker.
pub(crate) fn span(id: u64, route: &str, status: &str, milliseconds: u64) -> Value {
    let end = now();
    let is_error = status.starts_with('5');
    json!({
        "traceId": if id == 1 { TRACE.to_owned() } else { format!("{id:032x}") },
        "spanId": format!("{id:016x}"),
        "name": format!("GET {route}"),
        "kind": 2,
        "startTimeUnixNano": (end - milliseconds * 1_000_000).to_string(),
        "endTimeUnixNano": end.to_string(),
        "status": if is_error { json!({"code": 2}) } else { json!({}) },
        "attributes": [attribute("http.route", route), attribute("http.response.status_code", status)],
    })
}

pub(crate) fn traces(pid: &str, spans: &[Value]) -> Value {
    json!({"resourceSpans": [{"resource": resource(pid), "scopeSpans": [{"spans": spans}]}]})
}

pub(crate) fn log(pid: &str, severity: u8, body: &str) -> Value {
    let record = json!({
        "timeUnixNano": now().to_string(), "severityNumber": severity,
        "body": {"stringValue": body}, "traceId": TRACE, "spanId": "0000000000000001",
    });
    json!({"resourceLogs": [{"resource": resource(pid), "scopeLogs": [{"logRecords": [record]}]}]})
}
