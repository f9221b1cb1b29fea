//! `LogRecord`.

use opentelemetry_sdk::logs::SdkLogRecord;

use super::{
    nanoseconds,
    protobuf::{bytes, fixed32, fixed64, message, varint},
    value::{any_value, attribute},
};

/// Writes a log record, as a field of its `ScopeLogs`.
pub(crate) fn log_record(out: &mut Vec<u8>, record: &SdkLogRecord) {
    message(out, 2, |out| fields(out, record));
}

fn fields(out: &mut Vec<u8>, record: &SdkLogRecord) {
    fixed64(out, 1, record.timestamp().map_or(0, nanoseconds));
    let severity = record.severity_number();
    varint(out, 2, severity.map_or(0, |severity| severity as u64));
    bytes(out, 3, record.severity_text().unwrap_or_default());
    if let Some(body) = record.body() {
        any_value(out, 5, body);
    }
    for (key, value) in record.attributes_iter() {
        attribute(out, 6, key, value);
    }
    if let Some(context) = record.trace_context() {
        let flags = context.trace_flags.unwrap_or_default();
        fixed32(out, 8, flags.to_u8().into());
        bytes(out, 9, context.trace_id.to_bytes());
        bytes(out, 10, context.span_id.to_bytes());
    }
    fixed64(out, 11, record.observed_timestamp().map_or(0, nanoseconds));
    bytes(out, 12, record.event_name().unwrap_or_default());
}
