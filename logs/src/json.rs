//! One JSON line on stdout for each record, for `OTEL_LOGS_EXPORTER=console`.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use jiff::Timestamp;
use opentelemetry::{Value as ResourceValue, logs::AnyValue};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter, SdkLogRecord},
};
use serde_json::{Map, Value, json};

/// The exporter.
#[derive(Debug, Default)]
pub(crate) struct JsonLines {
    resource: Value,
}

impl LogExporter for JsonLines {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let mut stdout = io::stdout().lock();
        for (record, _) in batch.iter() {
            // A line is written at once, so that those of other workers do not get
            // into it.
            let line = format!("{}\n", self.line(record));
            let written = stdout.write_all(line.as_bytes());
            written.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        }
        let flushed = stdout.flush();
        flushed.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        let attributes: Map<_, _> = resource
            .iter()
            .map(|(key, value)| (key.to_string(), resource_value(value)))
            .collect();
        self.resource = json!({
            "attributes": attributes,
            "schema_url": resource.schema_url().unwrap_or_default(),
        });
    }
}

impl JsonLines {
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

/// RFC 3339 in UTC, with microseconds.
fn time(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.6}"))
}

fn resource_value(value: &ResourceValue) -> Value {
    match value {
        ResourceValue::I64(number) => json!(number),
        ResourceValue::F64(number) => json!(number),
        ResourceValue::Bool(value) => json!(value),
        text_or_list => json!(text_or_list.as_str()),
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
