//! Initial inputs for a collector: messages of OTLP.

use collector::proto::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use prost::Message;

use crate::seeds::Seed;

/// A message of each signal, after the bytes that select plain or compressed sending.
pub fn messages() -> Vec<Seed> {
    let requests = [
        metrics().encode_to_vec(),
        logs().encode_to_vec(),
        spans().encode_to_vec(),
    ];
    let mut seeds = Vec::new();
    for (signal, request) in requests.iter().enumerate() {
        for way in 0..4 {
            let choice = signal as u8 + 3 * way;
            seeds.push((choice.to_string(), [&[choice], &**request].concat()));
        }
    }
    seeds
}

fn resource() -> Option<Resource> {
    let text = |text: &str| Value::StringValue(text.to_owned());
    let attributes = [
        ("service.name", text("shop")),
        ("service.instance.id", text("3f2e")),
        ("process.pid", Value::IntValue(7)),
        (
            "list",
            Value::ArrayValue(ArrayValue {
                values: vec![AnyValue {
                    value: Some(Value::BoolValue(true)),
                }],
            }),
        ),
        (
            "map",
            Value::KvlistValue(KeyValueList {
                values: vec![attribute("a", Value::DoubleValue(0.5))],
            }),
        ),
        ("bytes", Value::BytesValue(vec![0, 255])),
    ];
    let attributes = attributes.map(|(key, value)| attribute(key, value)).into();
    Some(Resource {
        attributes,
        ..Resource::default()
    })
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "scope".to_owned(),
        ..InstrumentationScope::default()
    })
}

fn metrics() -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        attributes: vec![attribute("http.route", Value::StringValue("/".to_owned()))],
        start_time_unix_nano: 1,
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsInt(4)),
        ..NumberDataPoint::default()
    };
    let histogram = HistogramDataPoint {
        time_unix_nano: 2,
        count: 2,
        sum: Some(0.3),
        bucket_counts: vec![1, 1],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        count: 1,
        scale: 3,
        ..ExponentialHistogramDataPoint::default()
    };
    let summary = SummaryDataPoint {
        count: 1,
        sum: 0.5,
        ..SummaryDataPoint::default()
    };
    let data = [
        Data::Sum(Sum {
            data_points: vec![point.clone()],
            aggregation_temporality: 2,
            is_monotonic: true,
        }),
        Data::Sum(Sum {
            data_points: vec![point.clone()],
            aggregation_temporality: 1,
            is_monotonic: false,
        }),
        Data::Gauge(Gauge {
            data_points: vec![point],
        }),
        Data::Histogram(Histogram {
            data_points: vec![histogram],
            aggregation_temporality: 2,
        }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![exponential],
            aggregation_temporality: 2,
        }),
        Data::Summary(Summary {
            data_points: vec![summary],
        }),
    ];
    let metric = |(number, data)| Metric {
        name: format!("m{number}"),
        data: Some(data),
        ..Metric::default()
    };
    let metrics = data.into_iter().enumerate().map(metric).collect();
    let scope_metrics = vec![ScopeMetrics {
        scope: scope(),
        metrics,
        ..ScopeMetrics::default()
    }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(),
            scope_metrics,
            ..ResourceMetrics::default()
        }],
    }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue("a line\nand another".to_owned())),
        }),
        attributes: vec![attribute("status", Value::IntValue(200))],
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs {
        scope: scope(),
        log_records: vec![record],
        ..ScopeLogs::default()
    }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(),
            scope_logs,
            ..ResourceLogs::default()
        }],
    }
}

fn spans() -> ExportTraceServiceRequest {
    let event = span::Event {
        name: "exception".to_owned(),
        time_unix_nano: 3,
        ..span::Event::default()
    };
    let link = span::Link {
        trace_id: vec![3; 16],
        span_id: vec![4; 8],
        ..span::Link::default()
    };
    let root = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: 1,
        end_time_unix_nano: 9,
        attributes: vec![attribute("http.route", Value::StringValue("/".to_owned()))],
        events: vec![event],
        links: vec![link],
        status: Some(Status {
            message: "no".to_owned(),
            code: 2,
        }),
        ..Span::default()
    };
    let child = Span {
        span_id: vec![5; 8],
        parent_span_id: vec![2; 8],
        ..root.clone()
    };
    let scope_spans = vec![ScopeSpans {
        scope: scope(),
        spans: vec![root, child],
        ..ScopeSpans::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans,
            ..ResourceSpans::default()
        }],
    }
}
