use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point::Value,
    summary_data_point::ValueAtQuantile,
};

use super::{
    Object,
    common::{attribute, resource, scope},
};

pub(super) fn resource_metrics(metrics: &ResourceMetrics, object: &mut Object<'_>) {
    resource(metrics.resource.as_ref(), object);
    object.list("scopeMetrics", &metrics.scope_metrics, scope_metrics);
    object.text("schemaUrl", &metrics.schema_url);
}

fn scope_metrics(metrics: &ScopeMetrics, object: &mut Object<'_>) {
    scope(metrics.scope.as_ref(), object);
    object.list("metrics", &metrics.metrics, metric);
    object.text("schemaUrl", &metrics.schema_url);
}

fn metric(metric: &Metric, object: &mut Object<'_>) {
    object.text("name", &metric.name);
    object.text("description", &metric.description);
    object.text("unit", &metric.unit);
    match &metric.data {
        None => {}
        Some(Data::Gauge(gauge)) => object.object("gauge", |object| {
            object.list("dataPoints", &gauge.data_points, number);
        }),
        Some(Data::Sum(sum)) => object.object("sum", |object| {
            object.list("dataPoints", &sum.data_points, number);
            object.int("aggregationTemporality", sum.aggregation_temporality);
            object.bool("isMonotonic", sum.is_monotonic);
        }),
        Some(Data::Histogram(histogram)) => object.object("histogram", |object| {
            object.list("dataPoints", &histogram.data_points, explicit_buckets);
            object.int("aggregationTemporality", histogram.aggregation_temporality);
        }),
        Some(Data::ExponentialHistogram(histogram)) => {
            object.object("exponentialHistogram", |object| {
                object.list("dataPoints", &histogram.data_points, exponential_buckets);
                object.int("aggregationTemporality", histogram.aggregation_temporality);
            })
        }
        Some(Data::Summary(summary)) => object.object("summary", |object| {
            object.list("dataPoints", &summary.data_points, quantiles);
        }),
    }
    object.list("metadata", &metric.metadata, attribute);
}

fn number(point: &NumberDataPoint, object: &mut Object<'_>) {
    object.list("attributes", &point.attributes, attribute);
    object.long("startTimeUnixNano", point.start_time_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    match point.value {
        None => {}
        Some(Value::AsDouble(value)) => object.always_double("asDouble", value),
        Some(Value::AsInt(value)) => object.always_long("asInt", value),
    }
    object.list("exemplars", &point.exemplars, exemplar);
    object.int("flags", point.flags);
}

fn explicit_buckets(point: &HistogramDataPoint, object: &mut Object<'_>) {
    object.list("attributes", &point.attributes, attribute);
    object.long("startTimeUnixNano", point.start_time_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.optional_double("sum", point.sum);
    object.longs("bucketCounts", &point.bucket_counts);
    object.doubles("explicitBounds", &point.explicit_bounds);
    object.list("exemplars", &point.exemplars, exemplar);
    object.int("flags", point.flags);
    object.optional_double("min", point.min);
    object.optional_double("max", point.max);
}

fn exponential_buckets(point: &ExponentialHistogramDataPoint, object: &mut Object<'_>) {
    object.list("attributes", &point.attributes, attribute);
    object.long("startTimeUnixNano", point.start_time_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.optional_double("sum", point.sum);
    object.int("scale", point.scale);
    object.long("zeroCount", point.zero_count);
    buckets("positive", point.positive.as_ref(), object);
    buckets("negative", point.negative.as_ref(), object);
    object.int("flags", point.flags);
    object.list("exemplars", &point.exemplars, exemplar);
    object.optional_double("min", point.min);
    object.optional_double("max", point.max);
    object.double("zeroThreshold", point.zero_threshold);
}

/// Written even if there are none, as the Collector does.
fn buckets(name: &str, buckets: Option<&Buckets>, object: &mut Object<'_>) {
    object.object(name, |object| {
        if let Some(buckets) = buckets {
            object.int("offset", buckets.offset);
            object.longs("bucketCounts", &buckets.bucket_counts);
        }
    });
}

fn quantiles(point: &SummaryDataPoint, object: &mut Object<'_>) {
    object.list("attributes", &point.attributes, attribute);
    object.long("startTimeUnixNano", point.start_time_unix_nano);
    object.long("timeUnixNano", point.time_unix_nano);
    object.long("count", point.count);
    object.double("sum", point.sum);
    object.list("quantileValues", &point.quantile_values, quantile);
    object.int("flags", point.flags);
}

fn quantile(value: &ValueAtQuantile, object: &mut Object<'_>) {
    object.double("quantile", value.quantile);
    object.double("value", value.value);
}

fn exemplar(exemplar: &Exemplar, object: &mut Object<'_>) {
    object.list(
        "filteredAttributes",
        &exemplar.filtered_attributes,
        attribute,
    );
    object.long("timeUnixNano", exemplar.time_unix_nano);
    match exemplar.value {
        None => {}
        Some(exemplar::Value::AsDouble(value)) => object.always_double("asDouble", value),
        Some(exemplar::Value::AsInt(value)) => object.always_long("asInt", value),
    }
    object.hex("spanId", &exemplar.span_id);
    object.hex("traceId", &exemplar.trace_id);
}
