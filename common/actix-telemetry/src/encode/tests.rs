//! What is written here is what `opentelemetry-proto` makes of the same items.

use std::{
    collections::HashMap,
    time::{Duration, UNIX_EPOCH},
};

use opentelemetry::{
    Array, InstrumentationScope, Key, KeyValue, SpanId, StringValue, TraceFlags, TraceId, Value,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    trace::{Event, Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_proto::{
    tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        logs::v1::ScopeLogs,
        trace::v1::ScopeSpans,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema, logs::tonic::group_logs_by_resource_and_scope,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, SdkLogRecord, SdkLoggerProvider},
    trace::{SpanData, SpanEvents, SpanLinks},
};
use prost::Message as _;

use super::*;

fn long() -> String {
    "ö".repeat(20_000)
}

/// Every kind of value, and every default of a type.
fn pairs() -> Vec<KeyValue> {
    vec![
        KeyValue::new("text", "value"),
        KeyValue::new("long", long()),
        KeyValue::new("empty", ""),
        KeyValue::new("", "no key"),
        KeyValue::new("true", true),
        KeyValue::new("false", false),
        KeyValue::new("zero", 0),
        KeyValue::new("negative", -1),
        KeyValue::new("largest", i64::MAX),
        KeyValue::new("smallest", i64::MIN),
        KeyValue::new("0.0", 0.0),
        KeyValue::new("double", -1.5e300),
        KeyValue::new("booleans", Value::Array(Array::Bool(vec![true, false]))),
        KeyValue::new("integers", Value::Array(Array::I64(vec![0, -1, 300]))),
        KeyValue::new("doubles", Value::Array(Array::F64(vec![0.0, 0.1]))),
        KeyValue::new(
            "texts",
            Value::Array(Array::String(vec!["".into(), StringValue::from(long())])),
        ),
        KeyValue::new("none", Value::Array(Array::Bool(vec![]))),
    ]
}

fn sender() -> Resource {
    Resource::builder_empty()
        .with_schema_url(pairs(), "https://example.com/resource")
        .build()
}

fn scopes() -> [InstrumentationScope; 2] {
    let all = InstrumentationScope::builder("library")
        .with_version("1.2.3")
        .with_schema_url("https://example.com/scope")
        .with_attributes(pairs())
        .build();
    [all, InstrumentationScope::builder("").build()]
}

fn context(state: TraceState, is_remote: bool, sampled: bool) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(sampled);
    SpanContext::new(TraceId::from(7), SpanId::from(8), flags, is_remote, state)
}

fn spans() -> Vec<SpanData> {
    let state = TraceState::from_key_value([("a", "1"), ("b", "2")]).unwrap();
    let time = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    let [all, least] = scopes();
    let mut events = SpanEvents::default();
    events.events = vec![
        Event::new("event", time, pairs(), 3),
        Event::new("", UNIX_EPOCH, vec![], 0),
    ];
    events.dropped_count = 300;
    let mut links = SpanLinks::default();
    links.links = vec![
        Link::new(context(state.clone(), true, true), pairs(), 200),
        Link::new(context(TraceState::NONE, false, false), vec![], 0),
    ];
    links.dropped_count = 5;
    let full = SpanData {
        span_context: context(state, false, true),
        parent_span_id: SpanId::from(9),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: "GET /{id}".into(),
        start_time: time,
        end_time: time + Duration::from_nanos(1),
        attributes: pairs(),
        dropped_attributes_count: 128,
        events,
        links,
        status: Status::error("failed"),
        instrumentation_scope: all,
    };
    let empty = SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        // Before 1970.
        start_time: UNIX_EPOCH - Duration::from_secs(1),
        end_time: UNIX_EPOCH,
        attributes: vec![],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: least,
    };
    let of_kind = |span_kind, status| SpanData {
        span_kind,
        status,
        ..empty.clone()
    };
    vec![
        full,
        of_kind(SpanKind::Client, Status::Ok),
        of_kind(SpanKind::Producer, Status::error("")),
        of_kind(SpanKind::Consumer, Status::Unset),
        empty,
    ]
}

fn records() -> Vec<(SdkLogRecord, InstrumentationScope)> {
    let logger = SdkLoggerProvider::builder().build().logger("");
    let time = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    let [all, least] = scopes();
    let values: HashMap<Key, AnyValue> =
        [("n".into(), 1.into()), ("s".into(), long().into())].into();
    let mut full = logger.create_log_record();
    full.set_event_name("event");
    full.set_target("shop::routes");
    full.set_timestamp(time);
    full.set_observed_timestamp(time + Duration::from_nanos(1));
    full.set_severity_text("WARN");
    full.set_severity_number(Severity::Warn2);
    full.set_body(AnyValue::Map(Box::new(values)));
    full.set_trace_context(TraceId::from(7), SpanId::from(8), Some(TraceFlags::SAMPLED));
    for (key, value) in [
        ("text", AnyValue::from(long())),
        ("empty", "".into()),
        ("zero", 0.into()),
        ("negative", (-1).into()),
        ("double", AnyValue::Double(0.0)),
        ("true", true.into()),
        ("bytes", AnyValue::Bytes(Box::new(vec![0, 255]))),
        ("no bytes", AnyValue::Bytes(Box::default())),
        (
            "list",
            AnyValue::ListAny(Box::new(vec![1.into(), "2".into(), false.into()])),
        ),
        ("no list", AnyValue::ListAny(Box::default())),
        ("no map", AnyValue::Map(Box::default())),
    ] {
        full.add_attribute(key, value);
    }
    let mut empty = logger.create_log_record();
    empty.set_observed_timestamp(UNIX_EPOCH);
    let mut body = empty.clone();
    body.set_body("".into());
    vec![(full, all), (body, least.clone()), (empty, least)]
}

/// A request with the items of each scope together.
fn encoded(sender: &Resource, items: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut by_scope = HashMap::<Vec<u8>, Vec<u8>>::new();
    for (scope, item) in items {
        by_scope.entry(scope).or_default().extend(item);
    }
    let mut resource = Vec::new();
    super::resource(&mut resource, sender);
    request(&resource, by_scope.iter())
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

#[test]
fn spans_are_what_the_sdk_makes_of_them() {
    let sender = sender();
    let ours = encoded(
        &sender,
        spans().iter().map(|span| {
            (
                written(|out| scope(out, &span.instrumentation_scope, None)),
                written(|out| super::span(out, span)),
            )
        }),
    );
    let length = ours.len();
    let mut ours = ExportTraceServiceRequest::decode(&*ours).unwrap();
    let resource = ResourceAttributesWithSchema::from(&sender);
    let mut theirs = ExportTraceServiceRequest {
        resource_spans: group_spans_by_resource_and_scope(spans(), &resource),
    };
    let by_name = |scope: &ScopeSpans| scope.scope.as_ref().unwrap().name.clone();
    for request in [&mut ours, &mut theirs] {
        request.resource_spans[0].scope_spans.sort_by_key(by_name);
    }
    assert_eq!(ours, theirs);
    assert_eq!(length, theirs.encoded_len());
}

#[test]
fn log_records_are_what_the_sdk_makes_of_them() {
    let records = records();
    let sender = sender();
    let ours = encoded(
        &sender,
        records.iter().map(|(record, scope)| {
            let target = record.target().map(|target| &**target);
            (
                written(|out| super::scope(out, scope, target)),
                written(|out| log_record(out, record)),
            )
        }),
    );
    let length = ours.len();
    let mut ours = ExportLogsServiceRequest::decode(&*ours).unwrap();
    let resource = ResourceAttributesWithSchema::from(&sender);
    let borrowed: Vec<_> = records
        .iter()
        .map(|(record, scope)| (record, scope))
        .collect();
    let batch = LogBatch::new(&borrowed);
    let mut theirs = ExportLogsServiceRequest {
        resource_logs: group_logs_by_resource_and_scope(&batch, &resource),
    };
    let by_name = |scope: &ScopeLogs| scope.scope.as_ref().unwrap().name.clone();
    for request in [&mut ours, &mut theirs] {
        request.resource_logs[0].scope_logs.sort_by_key(by_name);
    }
    assert_eq!(ours, theirs);
    assert_eq!(length, theirs.encoded_len());
}
