use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::{
    Object,
    common::{any_value, attribute, resource, scope},
};

pub(super) fn resource_logs(logs: &ResourceLogs, object: &mut Object<'_>) {
    resource(logs.resource.as_ref(), object);
    object.list("scopeLogs", &logs.scope_logs, scope_logs);
    object.text("schemaUrl", &logs.schema_url);
}

fn scope_logs(logs: &ScopeLogs, object: &mut Object<'_>) {
    scope(logs.scope.as_ref(), object);
    object.list("logRecords", &logs.log_records, log_record);
    object.text("schemaUrl", &logs.schema_url);
}

fn log_record(record: &LogRecord, object: &mut Object<'_>) {
    object.long("timeUnixNano", record.time_unix_nano);
    object.long("observedTimeUnixNano", record.observed_time_unix_nano);
    object.int("severityNumber", record.severity_number);
    object.text("severityText", &record.severity_text);
    any_value("body", record.body.as_ref(), object);
    object.list("attributes", &record.attributes, attribute);
    object.int("droppedAttributesCount", record.dropped_attributes_count);
    object.int("flags", record.flags);
    object.hex("traceId", &record.trace_id);
    object.hex("spanId", &record.span_id);
    object.text("eventName", &record.event_name);
}
