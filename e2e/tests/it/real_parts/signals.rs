//! The Collector receives all logs and traces unchanged.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::{
    Load, Temporary,
    otelcol::{self, Otelcol, Written, attribute},
};

use super::{pushing_to, send};
use crate::{otlp::PROTOCOLS, support::stop};

const LOG_RECORDS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];

#[test]
fn every_log_record_is_in_the_collectors_file_once_in_both_protocols() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for protocol in PROTOCOLS {
        let directory = Temporary::new("collected")?;
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

#[test]
fn every_span_is_in_the_collectors_file_once_in_both_protocols() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for protocol in PROTOCOLS {
        let directory = Temporary::new("collected")?;
        let mut otelcol =
            Otelcol::new(&executable, "otel-collector.yaml")?.with_file(directory.path())?;
        let collector = otelcol.start()?;
        let running = pushing_to("traces", otelcol.ports(), protocol).start()?;
        send(&running, 200)?;
        let console = running.console().clone();
        stop(running)?;
        otelcol::stop(collector)?;

        let written = Written::read(directory.path())?;
        let spans = written.at(&["resourceSpans", "scopeSpans", "spans"]);
        let servers: Vec<_> = spans
            .iter()
            .filter(|span| span["name"] == "GET /")
            .collect();
        let ids = servers.iter().filter_map(|span| span["spanId"].as_str());
        let distinct = ids.collect::<BTreeSet<_>>().len();
        let found = (servers.len(), distinct);
        assert_eq!(found, (200, 200), "{protocol:?}: {console}");
        let resources = written.at(&["resourceSpans"]);
        for resource in resources {
            let service = attribute(&resource["resource"], "service.name");
            assert_eq!(service, Some("traces"));
        }
    }
    Ok(())
}
