//! Spans.

use opentelemetry::{
    KeyValue,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use serde_json::{Map, Value, json};

use super::{append, resource, time, value};

/// Makes lines.
#[derive(Debug)]
pub(crate) struct JsonLines {
    resource: Value,
}

impl JsonLines {
    pub(crate) fn new(found: &Resource) -> Self {
        let resource = resource(found).into();
        Self { resource }
    }

    /// Appends the line of a span.
    pub(crate) fn write(&self, lines: &mut Vec<u8>, span: &SpanData) {
        append(lines, &self.line(span));
    }

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

fn attributes(attributes: &[KeyValue]) -> Map<String, Value> {
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.to_string(), value(&pair.value)))
        .collect()
}
