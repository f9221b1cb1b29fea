//! Logs and traces come out of the Collector as they went in.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result, ensure};
use e2e::{
    Load, SOON,
    http::Connection,
    otelcol::{self, Otelcol, Written, attribute},
    poll,
};

use super::{PROTOCOLS, Temporary, pushing_to, stop};

const LOG_RECORDS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];

#[test]
fn every_log_record_is_in_the_collectors_file_once_in_both_protocols() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for protocol in PROTOCOLS {
        let directory = Temporary::new()?;
        let mut otelcol =
            Otelcol::new(&executable, "otel-collector.yaml")?.with_file(directory.path())?;
        let collector = otelcol.start()?;
        let running = pushing_to("logs", otelcol.ports(), protocol)
            .env("RUST_LOG", "warn")
            .start()?;
        let load = Load::on(running.addr()?).clients(4).keep_alive(false);
        let report = load.requests(200).run()?;
        assert_eq!(report.statuses.get(&200), Some(&200), "{report}");
        let pids: BTreeSet<String> = report.pids.keys().map(u32::to_string).collect();
        let (said, console) = (running.console().clone(), collector.console().clone());
        stop(running)?;
        otelcol::stop(collector)?;

        let written = Written::read(directory.path())?;
        let records = written.at(&LOG_RECORDS);
        let count = |text: &str| {
            let is = |record: &&&_| record_body(record) == Some(text);
            records.iter().filter(is).count()
        };
        let found = (count("Request received"), count("GET / 200"));
        assert_eq!(found, (200, 200), "{protocol:?}: {said}; {console}");
        let resources = written.at(&["resourceLogs"]);
        let senders = resources.iter().filter_map(|resource| {
            let resource = &resource["resource"];
            assert_eq!(attribute(resource, "service.name"), Some("logs"));
            attribute(resource, "process.pid").map(str::to_owned)
        });
        assert_eq!(senders.collect::<BTreeSet<_>>(), pids);
    }
    Ok(())
}

fn record_body(record: &serde_json::Value) -> Option<&str> {
    record["body"]["stringValue"].as_str()
}

/// A span of a caller, as any SDK sends it.
const SPAN: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"scope":{"name":"test"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"GET /","kind":2,"startTimeUnixNano":"1795344990083987880","endTimeUnixNano":"1795344990089877555"}]}]}]}"#;

#[test]
fn a_span_is_in_the_collectors_file_with_its_trace() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    let directory = Temporary::new()?;
    let mut otelcol =
        Otelcol::new(&executable, "otel-collector.yaml")?.with_file(directory.path())?;
    let _collector = otelcol.start()?;
    let mut connection = Connection::open(otelcol.ports().http)?;
    let length = SPAN.len();
    connection.send(&format!(
        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{SPAN}"
    ))?;
    let response = connection.receive()?;
    ensure!(response.status == 200, "{response:?}");
    let span = wait_for_span(directory.path())?;
    assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span["spanId"], "b7ad6b7169203331");
    assert_eq!(span["name"], "GET /");
    Ok(())
}

fn wait_for_span(directory: &Path) -> Result<serde_json::Value> {
    poll("the span", SOON, || {
        let written = Written::read(directory).ok()?;
        let spans = written.at(&["resourceSpans", "scopeSpans", "spans"]);
        spans.first().copied().cloned()
    })
    .context("in the Collector's file")
}
