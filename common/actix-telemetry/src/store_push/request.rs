//! Metrics of the store as OTLP, as the specification's page on [compatibility] says.
//!
//! [compatibility]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#prometheus-metric-points-to-otlp

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        metric::Data, number_data_point,
    },
};
use opentelemetry_sdk::Resource;
use prometheus_multiprocess::{CollectedFamily, CollectedSeries, CollectedValue, MetricKind};

/// The resource as a metric, which OTLP has beside the metrics.
const RESOURCE: &str = "target_info";

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// A request with all metrics, as they are now.
pub(super) fn request(
    families: Vec<CollectedFamily>,
    resource: &Resource,
) -> ExportMetricsServiceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos() as u64;
    let families = families.into_iter();
    let families = families.filter(|family| family.name != RESOURCE);
    let scope = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: families.map(|family| metric(family, now)).collect(),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.into()),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        }],
    }
}

fn metric(family: CollectedFamily, now: u64) -> Metric {
    let series = family.series.into_iter();
    let data = match family.kind {
        MetricKind::Counter => Data::Sum(Sum {
            data_points: series.filter_map(|series| number(series, now)).collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        MetricKind::Gauge => Data::Gauge(Gauge {
            data_points: series.filter_map(|series| number(series, now)).collect(),
        }),
        MetricKind::Histogram => Data::Histogram(Histogram {
            data_points: series.filter_map(|series| histogram(series, now)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
        MetricKind::Summary => Data::Summary(Summary {
            data_points: series.filter_map(|series| summary(series, now)).collect(),
        }),
    };
    Metric {
        name: family.name,
        description: family.help,
        data: Some(data),
        ..Metric::default()
    }
}

fn number(series: CollectedSeries, now: u64) -> Option<NumberDataPoint> {
    let CollectedValue::Number(value) = series.value else {
        return None;
    };
    Some(NumberDataPoint {
        start_time_unix_nano: start(&series),
        time_unix_nano: now,
        exemplars: exemplars(&series),
        attributes: attributes(series.labels),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    })
}

fn histogram(series: CollectedSeries, now: u64) -> Option<HistogramDataPoint> {
    let (start_time_unix_nano, exemplars) = (start(&series), exemplars(&series));
    let CollectedValue::Histogram { buckets, sum } = series.value else {
        return None;
    };
    let (mut explicit_bounds, counts): (Vec<_>, Vec<_>) = buckets.into_iter().unzip();
    let mut bucket_counts: Vec<_> = counts.into_iter().map(|count: f64| count as u64).collect();
    // The last bound of OTLP is implied.
    match explicit_bounds.last() {
        Some(last) if *last == f64::INFINITY => drop(explicit_bounds.pop()),
        _ => bucket_counts.push(0),
    }
    Some(HistogramDataPoint {
        start_time_unix_nano,
        time_unix_nano: now,
        attributes: attributes(series.labels),
        count: bucket_counts.iter().sum(),
        sum: Some(sum),
        bucket_counts,
        explicit_bounds,
        exemplars,
        ..HistogramDataPoint::default()
    })
}

fn summary(series: CollectedSeries, now: u64) -> Option<SummaryDataPoint> {
    let CollectedValue::Summary { count, sum } = series.value else {
        return None;
    };
    Some(SummaryDataPoint {
        start_time_unix_nano: start(&series),
        time_unix_nano: now,
        attributes: attributes(series.labels),
        count: count as u64,
        sum,
        ..SummaryDataPoint::default()
    })
}

/// The start in nanoseconds; 0 if it is not known, as OTLP has it.
fn start(series: &CollectedSeries) -> u64 {
    series.start.map_or(0, nanoseconds)
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn exemplars(series: &CollectedSeries) -> Vec<Exemplar> {
    let exemplars = series.exemplars.iter();
    let exemplar = |found: &prometheus_multiprocess::Exemplar| Exemplar {
        time_unix_nano: nanoseconds(found.time),
        trace_id: found.span.trace_id.to_vec(),
        span_id: found.span.span_id.to_vec(),
        value: Some(exemplar::Value::AsDouble(found.value)),
        ..Exemplar::default()
    };
    exemplars.map(exemplar).collect()
}

/// Labels that are not empty, since an empty one is the same as none.
fn attributes(labels: Vec<(String, String)>) -> Vec<KeyValue> {
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let attribute = |(key, value)| KeyValue {
        key,
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    labels.map(attribute).collect()
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, Opts};
    use prometheus_multiprocess::{Directory, GaugeMode, GaugeOpts};

    use super::*;

    fn metrics(directory: &Directory) -> Vec<Metric> {
        let families = directory.store().collector().unwrap().collect();
        let mut request = request(families, &Resource::builder_empty().build());
        request.resource_metrics[0].scope_metrics.remove(0).metrics
    }

    #[test]
    fn metrics_of_the_store_have_their_start_times_and_buckets() {
        let directory = Directory::prepare(None).unwrap();
        let store = directory.store();
        let orders = store.counter_vec(Opts::new("orders", "Orders"), &["kind", "note"]);
        orders.unwrap().with_label_values(&["new", ""]).inc_by(3.0);
        let took = HistogramOpts::new("took", "Time").buckets(vec![1.0, 2.0]);
        let took = store.histogram(took).unwrap();
        for time in [0.5, 1.5, 1.6, 9.0] {
            took.observe(time);
        }
        let open = GaugeOpts::new("open", "Open").mode(GaugeMode::LiveSum);
        store.gauge(open).unwrap().set(7.0);
        let info = GaugeOpts::new(RESOURCE, "Target").mode(GaugeMode::LiveMax);
        store.gauge(info).unwrap().set(1.0);

        let mut found = metrics(&directory);
        let again = metrics(&directory);
        found.retain(|metric| !metric.name.starts_with("multiprocess_"));
        let names: Vec<_> = found.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["open", "orders", "took"]);
        let [open, orders, took] = &found[..] else {
            panic!("{found:?}");
        };
        let Some(Data::Gauge(open)) = &open.data else {
            panic!("{open:?}");
        };
        let value = number_data_point::Value::AsDouble;
        assert_eq!(open.data_points[0].value, Some(value(7.0)));
        assert_eq!(open.data_points[0].start_time_unix_nano, 0);
        let Some(Data::Sum(sum)) = &orders.data else {
            panic!("{orders:?}");
        };
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(value(3.0)));
        assert_eq!(point.attributes.len(), 1, "{point:?}");
        assert!((1..=point.time_unix_nano).contains(&point.start_time_unix_nano));
        let later = again.iter().find(|metric| metric.name == "orders");
        let Some(Data::Sum(later)) = &later.unwrap().data else {
            panic!("{again:?}");
        };
        let start = point.start_time_unix_nano;
        assert_eq!(later.data_points[0].start_time_unix_nano, start);
        let Some(Data::Histogram(histogram)) = &took.data else {
            panic!("{took:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (4, Some(12.6)));
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [1, 2, 1]);
    }
}
