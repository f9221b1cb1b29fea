//! Log records.

use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::{Resource, logs::SdkLogRecord};
use serde_json::{Map, Value, json};

use super::{append, resource, time};

/// Makes lines.
#[derive(Debug)]
pub(crate) struct JsonLines {
    resource: Value,
}

impl JsonLines {
    pub(crate) fn new(found: &Resource) -> Self {
        let resource = json!({
            "attributes": resource(found),
            "schema_url": found.schema_url().unwrap_or_default(),
        });
        Self { resource }
    }

    /// Appends the line of a record.
    pub(crate) fn write(&self, lines: &mut Vec<u8>, record: &SdkLogRecord) {
        append(lines, &self.line(record));
    }

    fn line(&self, record: &SdkLogRecord) -> Value {
        let attributes: Map<_, _> = record
            .attributes_iter()
            .map(|(key, value)| (key.to_string(), any_value(value)))
            .collect();
        let context = record.trace_context();
        let trace_id = context.map_or(0, |context| {
            u128::from_be_bytes(context.trace_id.to_bytes())
        });
        let span_id = context.map_or(0, |context| u64::from_be_bytes(context.span_id.to_bytes()));
        let flags = context.and_then(|context| context.trace_flags);
        json!({
            "timestamp": record.timestamp().map(time),
            "observed_timestamp": record.observed_timestamp().map(time),
            "severity_number": record.severity_number().map(|severity| severity as i32),
            "severity_text": record.severity_text(),
            "body": record.body().map(any_value),
            "attributes": attributes,
            "dropped_attributes": 0,
            "scope": record.target(),
            "trace_id": format!("0x{trace_id:032x}"),
            "span_id": format!("0x{span_id:016x}"),
            "trace_flags": flags.map_or(0, |flags| flags.to_u8()),
            "resource": self.resource,
        })
    }
}

fn any_value(value: &AnyValue) -> Value {
    match value {
        AnyValue::Int(number) => json!(number),
        AnyValue::Double(number) => json!(number),
        AnyValue::String(text) => json!(text.as_str()),
        AnyValue::Boolean(value) => json!(value),
        AnyValue::Bytes(bytes) => json!(bytes.as_slice()),
        AnyValue::ListAny(list) => list.iter().map(any_value).collect(),
        AnyValue::Map(map) => map
            .iter()
            .map(|(key, value)| (key.to_string(), any_value(value)))
            .collect(),
        other => json!(format!("{other:?}")),
    }
}
