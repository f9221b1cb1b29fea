//! Compares the JSON lines with hand-written documents that follow the OTLP specification and the
//! omissions of the OpenTelemetry Collector's file exporter.

use collector::{
    Format,
    proto::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{
            AggregationTemporality::{Cumulative, Delta},
            Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
            metric::Data,
            number_data_point,
        },
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
    },
};
use prost::Message;
use support::{PROTOBUF, attribute, counter, metrics_request, post, printing, scope, text};

mod support;

/// The JSON line for a request.
fn line_of(path: &str, request: &impl Message) -> String {
    let (collector, screen) = printing(Format::Json);
    let answer = post(
        collector.http_addr(),
        path,
        PROTOBUF,
        &request.encode_to_vec(),
    );
    assert_eq!(answer.status, 200);
    collector.stop();
    let text = screen.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON");
    text.trim_end().to_owned()
}

fn shop() -> Resource {
    Resource {
        attributes: vec![attribute("service.name", "shop")],
        ..Resource::default()
    }
}

fn doubles(values: &[f64]) -> Metric {
    let point = |value: &f64| NumberDataPoint {
        time_unix_nano: 7,
        value: Some(number_data_point::Value::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    Metric {
        name: "temperature".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: values.iter().map(point).collect(),
        })),
        ..Metric::default()
    }
}

#[test]
fn metrics_have_64_bit_integers_as_strings_and_no_defaults() {
    let mut histogram = HistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 1_700_000_000_000_000_001,
        count: 2,
        sum: Some(0.0),
        bucket_counts: vec![2, 0],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    histogram.attributes = vec![attribute("http.route", "/")];
    let metrics = vec![
        counter("num_requests", Cumulative, (1, 2), 0),
        Metric {
            name: "d".to_owned(),
            unit: "s".to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: vec![histogram],
                aggregation_temporality: Delta.into(),
            })),
            ..Metric::default()
        },
    ];
    let expected = concat!(
        r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"#,
        r#""scopeMetrics":[{"scope":{"name":"test"},"metrics":["#,
        r#"{"name":"num_requests","sum":{"dataPoints":[{"startTimeUnixNano":"1","timeUnixNano":"2","asInt":"0"}],"#,
        r#""aggregationTemporality":2,"isMonotonic":true}},"#,
        r#"{"name":"d","unit":"s","histogram":{"dataPoints":[{"attributes":[{"key":"http.route","value":{"stringValue":"/"}}],"#,
        r#""startTimeUnixNano":"1","timeUnixNano":"1700000000000000001","count":"2","sum":0,"#,
        r#""bucketCounts":["2","0"],"explicitBounds":[0.5]}],"aggregationTemporality":1}}]}]}]}"#,
    );
    assert_eq!(
        line_of("/v1/metrics", &metrics_request(shop(), metrics)),
        expected
    );
}

#[test]
fn numbers_that_json_cannot_represent_are_strings() {
    let metric = doubles(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, 1.5]);
    let line = line_of("/v1/metrics", &metrics_request(shop(), vec![metric]));
    let document: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let points =
        &document["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"];
    let values: Vec<_> = (0..5)
        .map(|index| points[index]["asDouble"].to_string())
        .collect();
    assert_eq!(
        values,
        ["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "0", "1.5"]
    );
}

#[test]
fn logs_have_ids_in_hexadecimal_and_every_kind_of_value() {
    let any = |value| Some(AnyValue { value: Some(value) });
    let pair = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value: any(value),
        ..KeyValue::default()
    };
    let record = LogRecord {
        observed_time_unix_nano: 5,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: text("a \"quoted\"\nline"),
        attributes: vec![
            pair("int", Value::IntValue(i64::MIN)),
            pair("bool", Value::BoolValue(false)),
            pair("double", Value::DoubleValue(0.5)),
            pair("bytes", Value::BytesValue(vec![0, 255])),
            pair(
                "list",
                Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue {
                        value: Some(Value::IntValue(0)),
                    }],
                }),
            ),
            pair(
                "map",
                Value::KvlistValue(KeyValueList {
                    values: vec![pair("k", Value::StringValue(String::new()))],
                }),
            ),
            KeyValue {
                key: "nothing".to_owned(),
                ..KeyValue::default()
            },
        ],
        trace_id: (0..16).collect(),
        span_id: vec![0xab; 8],
        flags: 1,
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                scope: scope("shop::routes"),
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let expected = concat!(
        r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{"name":"shop::routes"},"logRecords":["#,
        r#"{"observedTimeUnixNano":"5","severityNumber":9,"severityText":"INFO","#,
        r#""body":{"stringValue":"a \"quoted\"\nline"},"attributes":["#,
        r#"{"key":"int","value":{"intValue":"-9223372036854775808"}},"#,
        r#"{"key":"bool","value":{"boolValue":false}},"#,
        r#"{"key":"double","value":{"doubleValue":0.5}},"#,
        r#"{"key":"bytes","value":{"bytesValue":"AP8="}},"#,
        r#"{"key":"list","value":{"arrayValue":{"values":[{"intValue":"0"}]}}},"#,
        r#"{"key":"map","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":""}}]}}},"#,
        r#"{"key":"nothing","value":{}}],"#,
        r#""flags":1,"traceId":"000102030405060708090a0b0c0d0e0f","spanId":"abababababababab"}]}]}]}"#,
    );
    assert_eq!(line_of("/v1/logs", &request), expected);
}

#[test]
fn spans_have_their_kind_as_a_number_and_always_a_status() {
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        flags: 257,
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![span],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let expected = concat!(
        r#"{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":["#,
        r#"{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","flags":257,"#,
        r#""name":"GET /","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2","status":{}}]}]}]}"#,
    );
    assert_eq!(line_of("/v1/traces", &request), expected);
}
