//! Converts the five kinds of OTLP metrics to one list of data points.

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Metric, metric::Data, number_data_point,
};

use crate::{
    attribute,
    value::{Distribution, Number, Value},
};

#[derive(Debug)]
pub(crate) struct Point {
    /// Sorted by key.
    pub(crate) attributes: Vec<(String, String)>,
    /// Unix time in nanoseconds at which the stream started; 0 if unknown.
    pub(crate) start: u64,
    /// Unix time in nanoseconds of the data point.
    pub(crate) time: u64,
    pub(crate) value: Value,
    pub(crate) nature: Nature,
}

/// How a stream's data points add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Nature {
    /// Each point is the total since the start. It only rises until the stream restarts.
    Counter,
    /// Each point is the increase since the previous one.
    Delta,
    /// Each point replaces the previous one: gauges and up-down counters.
    Latest,
}

/// The data points of one metric, without those flagged as having no recorded value.
pub(crate) fn of(metric: &Metric) -> Vec<Point> {
    match &metric.data {
        None => Vec::new(),
        Some(Data::Gauge(gauge)) => numbers(&gauge.data_points, Nature::Latest),
        Some(Data::Sum(sum)) => {
            let nature = match (temporality(sum.aggregation_temporality), sum.is_monotonic) {
                (Nature::Counter, false) => Nature::Latest,
                (nature, _) => nature,
            };
            numbers(&sum.data_points, nature)
        }
        Some(Data::Histogram(histogram)) => histogram
            .data_points
            .iter()
            .filter(|point| is_recorded(point.flags))
            .map(|point| Point {
                attributes: attribute::sorted(&point.attributes),
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                value: Value::Distribution(
                    Distribution::new(point.count, point.sum, point.min, point.max)
                        .with_buckets(&point.explicit_bounds, &point.bucket_counts),
                ),
                nature: temporality(histogram.aggregation_temporality),
            })
            .collect(),
        Some(Data::ExponentialHistogram(histogram)) => histogram
            .data_points
            .iter()
            .filter(|point| is_recorded(point.flags))
            .map(|point| Point {
                attributes: attribute::sorted(&point.attributes),
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                value: Value::Distribution(Distribution::new(
                    point.count,
                    point.sum,
                    point.min,
                    point.max,
                )),
                nature: temporality(histogram.aggregation_temporality),
            })
            .collect(),
        Some(Data::Summary(summary)) => summary
            .data_points
            .iter()
            .filter(|point| is_recorded(point.flags))
            .map(|point| Point {
                attributes: attribute::sorted(&point.attributes),
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                value: Value::Distribution(Distribution::new(
                    point.count,
                    Some(point.sum),
                    None,
                    None,
                )),
                nature: Nature::Counter,
            })
            .collect(),
    }
}

fn numbers(
    points: &[opentelemetry_proto::tonic::metrics::v1::NumberDataPoint],
    nature: Nature,
) -> Vec<Point> {
    points
        .iter()
        .filter(|point| is_recorded(point.flags))
        .filter_map(|point| {
            let number = match point.value? {
                number_data_point::Value::AsInt(value) => Number::Int(value),
                number_data_point::Value::AsDouble(value) => Number::Double(value),
            };
            Some(Point {
                attributes: attribute::sorted(&point.attributes),
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                value: Value::Number(number),
                nature,
            })
        })
        .collect()
}

/// An unspecified temporality counts as cumulative, the default of the SDKs.
fn temporality(temporality: i32) -> Nature {
    if temporality == AggregationTemporality::Delta as i32 {
        Nature::Delta
    } else {
        Nature::Counter
    }
}

fn is_recorded(flags: u32) -> bool {
    flags & DataPointFlags::NoRecordedValueMask as u32 == 0
}
