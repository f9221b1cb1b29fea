//! A scrape as an export request, under the names of OpenTelemetry where the live view knows them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};

use super::text::{Sample, samples};

/// Prometheus' names of metrics and labels, and those of OpenTelemetry.
const NAMES: [(&str, &str); 27] = [
    ("error_type", "error.type"),
    ("http_request_method", "http.request.method"),
    ("http_response_status_code", "http.response.status_code"),
    ("http_route", "http.route"),
    ("http_server_active_requests", "http.server.active_requests"),
    (
        "http_server_request_duration_seconds",
        "http.server.request.duration",
    ),
    ("network_protocol_version", "network.protocol.version"),
    ("process_pid", "process.pid"),
    ("process_start_time_seconds", "worker.start_time"),
    ("service_instance_id", "service.instance.id"),
    ("service_name", "service.name"),
    ("service_namespace", "service.namespace"),
    ("service_version", "service.version"),
    ("url_scheme", "url.scheme"),
    ("worker_accept_queue", "worker.accept_queue"),
    ("worker_boot_duration_seconds", "worker.boot.duration"),
    ("worker_connections", "worker.connections"),
    ("worker_cut_connections_total", "worker.cut_connections"),
    ("worker_drain_duration_seconds", "worker.drain.duration"),
    ("worker_exits_total", "worker.exits"),
    ("worker_heartbeat_age_seconds", "worker.heartbeat.age"),
    ("worker_pid", "worker.pid"),
    ("worker_processes", "worker.processes"),
    ("worker_reloads_total", "worker.reloads"),
    ("worker_requests_total", "worker.requests"),
    ("worker_spawns_total", "worker.spawns"),
    ("worker_up", "worker.up"),
];

/// What says who is scraped.
const TARGET: &str = "target_info";

/// What is a join key for queries, and no measurement.
const INFO: [&str; 2] = [TARGET, "worker_info"];

/// The metrics of a scrape. `target` names the service if `target_info` does not.
pub(super) fn request(text: &str, target: &str) -> ExportMetricsServiceRequest {
    let samples = samples(text);
    let info = samples.iter().find(|sample| sample.name == TARGET);
    let mut attributes = info.map(attributes).unwrap_or_default();
    if !attributes
        .iter()
        .any(|attribute| attribute.key == "service.name")
    {
        attributes.push(attribute("service.name", target));
    }
    let mut families = BTreeMap::<&str, Vec<&Sample<'_>>>::new();
    let measured = |sample: &&Sample<'_>| !INFO.contains(&sample.name.as_str());
    for sample in samples.iter().filter(measured) {
        families.entry(&sample.family).or_default().push(sample);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    let metrics = families
        .into_iter()
        .map(|(name, samples)| metric(name, &samples, now));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(family: &str, samples: &[&Sample<'_>], now: u64) -> Metric {
    let unit = match family.trim_end_matches("_total") {
        name if name.ends_with("_seconds") => "s",
        name if name.ends_with("_bytes") => "By",
        _ => "",
    };
    let number = |sample: &&Sample<'_>| NumberDataPoint {
        attributes: attributes(sample),
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    let numbers = || samples.iter().map(number).collect();
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match samples.first().map_or("", |sample| sample.kind) {
        "counter" => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        "histogram" => Data::Histogram(Histogram {
            data_points: series(samples, |points, attributes| {
                histogram(points, attributes, now)
            }),
            aggregation_temporality: cumulative,
        }),
        "summary" => Data::Summary(Summary {
            data_points: series(samples, |points, attributes| {
                summary(points, attributes, now)
            }),
        }),
        _ => Data::Gauge(Gauge {
            data_points: numbers(),
        }),
    };
    Metric {
        name: known(family).to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// A data point of each set of labels, those of buckets and quantiles left out.
fn series<T>(
    samples: &[&Sample<'_>],
    point: impl Fn(&[&Sample<'_>], Vec<KeyValue>) -> T,
) -> Vec<T> {
    let mut series = BTreeMap::<Vec<_>, Vec<&Sample<'_>>>::new();
    for sample in samples {
        let labels = sample.labels.iter();
        let labels = labels.filter(|(name, _)| !is_part(name)).collect();
        series.entry(labels).or_default().push(sample);
    }
    let points = series.values().map(|samples| {
        let attributes = samples.first().map(|sample| attributes(sample));
        point(samples, attributes.unwrap_or_default())
    });
    points.collect()
}

fn histogram(samples: &[&Sample<'_>], attributes: Vec<KeyValue>, now: u64) -> HistogramDataPoint {
    let bucket = |sample: &&Sample<'_>| {
        let bound = sample
            .labels
            .get("le")?
            .trim_start_matches('+')
            .parse::<f64>()
            .ok()?;
        Some((bound, sample.value as u64))
    };
    let mut buckets: Vec<_> = samples.iter().filter_map(bucket).collect();
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0;
    let counts = buckets.iter().map(|(_, count)| {
        let own = count.saturating_sub(below);
        below = *count;
        own
    });
    let bucket_counts = counts.collect();
    let bounds = buckets.iter().map(|(bound, _)| *bound);
    HistogramDataPoint {
        attributes,
        time_unix_nano: now,
        count: of(samples, "_count").unwrap_or_default() as u64,
        sum: of(samples, "_sum"),
        bucket_counts,
        explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
        ..HistogramDataPoint::default()
    }
}

fn summary(samples: &[&Sample<'_>], attributes: Vec<KeyValue>, now: u64) -> SummaryDataPoint {
    SummaryDataPoint {
        attributes,
        time_unix_nano: now,
        count: of(samples, "_count").unwrap_or_default() as u64,
        sum: of(samples, "_sum").unwrap_or_default(),
        ..SummaryDataPoint::default()
    }
}

/// The value of the sample whose name ends like this.
fn of(samples: &[&Sample<'_>], suffix: &str) -> Option<f64> {
    let mut samples = samples.iter();
    Some(samples.find(|sample| sample.name.ends_with(suffix))?.value)
}

fn attributes(sample: &Sample<'_>) -> Vec<KeyValue> {
    let labels = sample.labels.iter().filter(|(name, _)| !is_part(name));
    labels
        .map(|(name, value)| attribute(known(name), value))
        .collect()
}

/// Whether a label tells samples of one series apart.
fn is_part(label: &str) -> bool {
    ["le", "quantile"].contains(&label)
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

fn known(name: &str) -> &str {
    let mut names = NAMES.iter();
    let found = names.find(|(prometheus, _)| *prometheus == name);
    found.map_or(name, |(_, own)| own)
}
