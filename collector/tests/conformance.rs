//! What OTLP and the metrics data model demand of a receiver.

use collector::{
    Collector, Config, Format, Received,
    proto::{
        collector::{
            metrics::v1::ExportMetricsServiceResponse,
            trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
        },
        common::v1::{AnyValue, KeyValue, any_value::Value},
        metrics::v1::{
            AggregationTemporality::{Cumulative, Delta},
            Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Metric, ScopeMetrics,
            exemplar,
            exponential_histogram_data_point::Buckets,
            metric::Data,
        },
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    },
};
use prost::Message;
use serde_json::json;
use support::{PROTOBUF, Screen, attribute, counter, metrics_request, post, resource, scope};

mod support;

const JSON: &str = "application/json";

fn start() -> Collector {
    Collector::start(Config::silent()).expect("the collector starts")
}

fn push(collector: &Collector, metrics: Vec<Metric>) -> Received {
    let request = metrics_request(resource("shop", "a", 1), metrics);
    let body = request.encode_to_vec();
    let answer = post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    collector.received()
}

#[test]
fn scopes_units_and_types_tell_series_apart() {
    for temporality in [Cumulative, Delta] {
        let collector = start();
        for (round, values) in [(1, [5, 3]), (2, [6, 4]), (3, [7, 5])] {
            let times = match temporality {
                Delta => (round - 1, round),
                _ => (0, round),
            };
            let metrics = |value| vec![counter("n", temporality, times, value)];
            let mut request = metrics_request(resource("shop", "a", 1), metrics(values[0]));
            request.resource_metrics[0]
                .scope_metrics
                .push(ScopeMetrics {
                    scope: scope("other"),
                    metrics: metrics(values[1]),
                    ..ScopeMetrics::default()
                });
            let body = request.encode_to_vec();
            post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
        }
        let received = collector.received();
        let expected = if temporality == Delta { 30.0 } else { 12.0 };
        assert_eq!(received.sum("n", &[]), expected, "{temporality:?}");
        let mut scopes: Vec<_> = received
            .series("n", &[])
            .map(|series| &series.scope)
            .collect();
        scopes.sort();
        assert_eq!(scopes, ["other", "test"]);
    }

    let collector = start();
    let with_unit = |unit: &str, value| Metric {
        unit: unit.to_owned(),
        ..counter("u", Cumulative, (1, 2), value)
    };
    let with_value = |value| {
        let mut metric = counter("t", Cumulative, (1, 2), 1);
        if let Some(Data::Sum(sum)) = &mut metric.data {
            sum.data_points[0].attributes = vec![KeyValue {
                key: "k".to_owned(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            }];
        }
        metric
    };
    let values = [
        Value::IntValue(1),
        Value::StringValue("1".to_owned()),
        Value::DoubleValue(1.0),
    ];
    let mut metrics = vec![with_unit("s", 3), with_unit("By", 5)];
    metrics.extend(values.map(with_value));
    let received = push(&collector, metrics);
    assert_eq!(received.sum("u", &[]), 8.0);
    assert_eq!(received.series("u", &[]).count(), 2);
    assert_eq!(received.series("t", &[("k", "1")]).count(), 3);
}

#[test]
fn services_of_two_namespaces_are_two_services() {
    let collector = start();
    for (namespace, value) in [("eu", 10), ("us", 5)] {
        let mut resource = resource("web", "a", 1);
        let namespace = attribute("service.namespace", namespace);
        resource.attributes.push(namespace);
        let metrics = vec![counter("n", Cumulative, (1, 2), value)];
        let body = metrics_request(resource, metrics).encode_to_vec();
        post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
    }
    let received = collector.received();
    assert_eq!(received.sum("n", &[]), 15.0);
    assert_eq!(received.series("n", &[]).count(), 2);
    assert_eq!(received.instances().len(), 2);
}

fn spans(ids: &[(&[u8], &[u8])]) -> ExportTraceServiceRequest {
    let spans = ids.iter().map(|(trace, span)| Span {
        trace_id: trace.to_vec(),
        span_id: span.to_vec(),
        name: "work".to_owned(),
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource("shop", "a", 1)),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[test]
fn spans_of_a_repeated_export_count_once() {
    let screen = Screen::default();
    let collector = Collector::start(Config {
        format: Format::Text,
        output: Box::new(screen.clone()),
        ..Config::silent()
    })
    .expect("the collector starts");
    let body = spans(&[(&[1; 16], &[2; 8]), (&[1; 16], &[3; 8])]).encode_to_vec();
    for _ in 0..2 {
        let answer = post(collector.http_addr(), "/v1/traces", PROTOBUF, &body);
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    }
    assert_eq!(collector.received().spans().len(), 2);
    collector.stop();
    let text = screen.text();
    assert!(text.contains("2 spans of 1 worker"), "{text}");
    assert_eq!(text.matches("work").count(), 3, "{text}");
}

#[test]
fn what_is_refused_of_a_request_is_told_as_partial_success() {
    let collector = start();
    let request = spans(&[
        (&[1; 16], &[2; 8]),
        (&[1; 15], &[2; 8]),
        (&[0; 16], &[2; 8]),
        (&[1; 16], &[]),
    ]);
    let body = request.encode_to_vec();
    let answer = post(collector.http_addr(), "/v1/traces", PROTOBUF, &body);
    assert_eq!(answer.status, 200);
    let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).expect("a response");
    let partial = response.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_spans, 3);
    assert!(partial.error_message.contains("trace id"), "{partial:?}");
    assert_eq!(collector.received().spans().len(), 1);

    let body = serde_json::to_vec(&request).expect("JSON");
    let answer = post(collector.http_addr(), "/v1/traces", JSON, &body);
    let partial = json!({ "rejectedSpans": "3", "errorMessage": partial.error_message });
    assert_eq!(answer.json(), json!({ "partialSuccess": partial }));

    let mut metric = counter("n", Cumulative, (1, 2), 1);
    if let Some(Data::Sum(sum)) = &mut metric.data {
        sum.data_points[0].attributes = vec![attribute("path", &"x".repeat(100_000))];
    }
    let body = metrics_request(resource("shop", "a", 1), vec![metric]).encode_to_vec();
    let answer = post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
    let response =
        ExportMetricsServiceResponse::decode(answer.body.as_slice()).expect("a response");
    let partial = response.partial_success.expect("a partial success");
    assert_eq!(partial.rejected_data_points, 1);
}

#[test]
fn an_exponential_histogram_has_quantiles_and_an_exemplar_is_shown() {
    let screen = Screen::default();
    let collector = Collector::start(Config {
        format: Format::Text,
        output: Box::new(screen.clone()),
        color: false,
        ..Config::silent()
    })
    .expect("the collector starts");
    let point = |scale, offset, counts: &[u64]| ExponentialHistogramDataPoint {
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: counts.iter().sum(),
        sum: Some(40.0),
        scale,
        positive: Some(Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        }),
        exemplars: vec![Exemplar {
            value: Some(exemplar::Value::AsDouble(3.5)),
            trace_id: vec![0xab; 16],
            span_id: vec![0xcd; 8],
            ..Exemplar::default()
        }],
        ..ExponentialHistogramDataPoint::default()
    };
    // From 2 to 4 at scale 0, and the same in two buckets at scale 1.
    for (instance, point) in [("a", point(0, 1, &[10])), ("b", point(1, 2, &[5, 5]))] {
        let metric = Metric {
            name: "latency".to_owned(),
            data: Some(Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![point],
                aggregation_temporality: Cumulative.into(),
            })),
            ..Metric::default()
        };
        let body = metrics_request(resource("shop", instance, 1), vec![metric]).encode_to_vec();
        post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
    }
    collector.stop();
    let text = screen.text();
    assert!(
        text.contains("sum over 2 workers: 20, mean 4, p50 ≈ 2.8284, p95 ≈ 3.8637"),
        "{text}"
    );
    let exemplar = format!(
        "e.g. 3.5 trace_id={} span_id={}",
        "ab".repeat(16),
        "cd".repeat(8)
    );
    assert_eq!(text.matches(&exemplar).count(), 2, "{text}");
}
