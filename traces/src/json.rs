//! One JSON line on stdout for each span, for `OTEL_TRACES_EXPORTER=console`.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use jiff::Timestamp;
use opentelemetry::{
    Array, KeyValue,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use serde_json::{Map, Value, json};

/// The exporter.
#[derive(Debug, Default)]
pub(crate) struct JsonLines {
    resource: Value,
}

impl SpanExporter for JsonLines {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut stdout = io::stdout().lock();
        for span in &batch {
            // A line is written at once, so that those of other workers do not get
            // into it.
            let line = format!("{}\n", self.line(span));
            let written = stdout.write_all(line.as_bytes());
            written.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        }
        let flushed = stdout.flush();
        flushed.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        let pairs = resource.iter();
        self.resource = pairs
            .map(|(key, found)| (key.to_string(), value(found)))
            .collect::<Map<_, _>>()
            .into();
    }
}

impl JsonLines {
    fn line(&self, span: &SpanData) -> Value {
        let context = &span.span_context;
        let is_root = span.parent_span_id == SpanId::INVALID;
        let events = span.events.iter().map(|event| {
            json!({
                "name": event.name,
                "timestamp": time(event.timestamp),
                "attributes": attributes(&event.attributes),
            })
        });
        let (status, description) = match &span.status {
            Status::Unset => ("UNSET", None),
            Status::Ok => ("OK", None),
            Status::Error { description } => ("ERROR", Some(description.as_ref())),
        };
        json!({
            "name": span.name,
            "trace_id": context.trace_id().to_string(),
            "span_id": context.span_id().to_string(),
            "parent_id": (!is_root).then(|| span.parent_span_id.to_string()),
            "trace_state": context.trace_state().header(),
            "kind": kind(&span.span_kind),
            "start_time": time(span.start_time),
            "end_time": time(span.end_time),
            "status": { "status_code": status, "description": description },
            "attributes": attributes(&span.attributes),
            "events": events.collect::<Vec<_>>(),
            "resource": self.resource,
        })
    }
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "CLIENT",
        SpanKind::Server => "SERVER",
        SpanKind::Producer => "PRODUCER",
        SpanKind::Consumer => "CONSUMER",
        SpanKind::Internal => "INTERNAL",
    }
}

/// RFC 3339 in UTC, with microseconds.
fn time(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.6}"))
}

fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.to_string(), value(&pair.value)))
        .collect()
}

fn value(value: &opentelemetry::Value) -> Value {
    use opentelemetry::Value as Found;

    match value {
        Found::I64(number) => json!(number),
        Found::F64(number) => json!(number),
        Found::Bool(value) => json!(value),
        Found::Array(Array::I64(numbers)) => json!(numbers),
        Found::Array(Array::F64(numbers)) => json!(numbers),
        Found::Array(Array::Bool(values)) => json!(values),
        Found::Array(Array::String(texts)) => texts.iter().map(|text| text.as_str()).collect(),
        text => json!(text.as_str()),
    }
}
