//! Converts the five types of OTLP metrics to one list of data points.

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, Exemplar, ExponentialHistogramDataPoint,
        HistogramDataPoint, Metric, NumberDataPoint, exemplar, metric::Data, number_data_point,
    },
};

use crate::{
    attribute,
    exponential::Exponential,
    value::{Distribution, Number, Value},
};

#[derive(Debug)]
pub(crate) struct Point {
    /// Sorted by key.
    pub(crate) attributes: Vec<(String, String)>,
    /// Their types, which are part of a series' identity.
    pub(crate) types: String,
    /// Unix time in nanoseconds at which the stream started; 0 if unknown.
    pub(crate) start: u64,
    /// Unix time in nanoseconds of the data point.
    pub(crate) time: u64,
    pub(crate) value: Value,
    pub(crate) kind: Kind,
    pub(crate) nature: Nature,
    /// The latest one.
    pub(crate) example: Option<Example>,
}

/// A measurement and the span in which it was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Example {
    time: u64,
    pub(crate) value: Number,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
}

/// The type of a metric. Metrics of one name and different types are different series: their
/// values cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Sum,
    UpDown,
    Gauge,
    Histogram,
    Exponential,
    Summary,
}

impl Kind {
    /// Whether values are those of a living process, such as the length of a queue.
    pub(crate) fn is_current(self) -> bool {
        matches!(self, Self::Gauge | Self::UpDown)
    }
}

/// How a stream's data points add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        Some(Data::Gauge(gauge)) => numbers(&gauge.data_points, Kind::Gauge, Nature::Latest),
        Some(Data::Sum(sum)) => {
            let (kind, nature) = match (temporality(sum.aggregation_temporality), sum.is_monotonic)
            {
                (nature, true) => (Kind::Sum, nature),
                (Nature::Counter, false) => (Kind::UpDown, Nature::Latest),
                (nature, false) => (Kind::UpDown, nature),
            };
            numbers(&sum.data_points, kind, nature)
        }
        Some(Data::Histogram(histogram)) => {
            let nature = temporality(histogram.aggregation_temporality);
            let recorded = histogram.data_points.iter();
            let recorded = recorded.filter(|point| is_recorded(point.flags));
            recorded.map(|point| explicit(point, nature)).collect()
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            let nature = temporality(histogram.aggregation_temporality);
            let recorded = histogram.data_points.iter();
            let recorded = recorded.filter(|point| is_recorded(point.flags));
            recorded.map(|point| exponential(point, nature)).collect()
        }
        Some(Data::Summary(summary)) => {
            let recorded = summary.data_points.iter();
            let recorded = recorded.filter(|point| is_recorded(point.flags));
            let points = recorded.map(|point| Point {
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                ..Point::new(
                    &point.attributes,
                    Value::Distribution(Distribution::new(
                        point.count,
                        Some(point.sum),
                        None,
                        None,
                    )),
                    (Kind::Summary, Nature::Counter),
                    &[],
                )
            });
            points.collect()
        }
    }
}

impl Point {
    fn new(
        attributes: &[KeyValue],
        value: Value,
        (kind, nature): (Kind, Nature),
        exemplars: &[Exemplar],
    ) -> Self {
        Self {
            attributes: attribute::sorted(attributes),
            types: attribute::types(attributes),
            start: 0,
            time: 0,
            value,
            kind,
            nature,
            example: exemplars
                .iter()
                .filter_map(Example::of)
                .max_by_key(|example| example.time),
        }
    }
}

impl Example {
    fn of(exemplar: &Exemplar) -> Option<Self> {
        Some(Self {
            time: exemplar.time_unix_nano,
            value: match exemplar.value? {
                exemplar::Value::AsInt(value) => Number::Int(value),
                exemplar::Value::AsDouble(value) => Number::Double(value),
            },
            // A valid id has 16 or 8 bytes. A longer one must not fill the screen.
            trace_id: attribute::hex(exemplar.trace_id.get(..16)?),
            span_id: attribute::hex(exemplar.span_id.get(..8)?),
        })
    }
}

fn numbers(points: &[NumberDataPoint], kind: Kind, nature: Nature) -> Vec<Point> {
    let recorded = points.iter().filter(|point| is_recorded(point.flags));
    let points = recorded.filter_map(|point| {
        let number = match point.value? {
            number_data_point::Value::AsInt(value) => Number::Int(value),
            number_data_point::Value::AsDouble(value) => Number::Double(value),
        };
        let value = Value::Number(number);
        Some(Point {
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            ..Point::new(&point.attributes, value, (kind, nature), &point.exemplars)
        })
    });
    points.collect()
}

fn explicit(point: &HistogramDataPoint, nature: Nature) -> Point {
    let distribution = Distribution::new(point.count, point.sum, point.min, point.max)
        .with_buckets(&point.explicit_bounds, &point.bucket_counts);
    let value = Value::Distribution(distribution);
    let kind = (Kind::Histogram, nature);
    Point {
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        ..Point::new(&point.attributes, value, kind, &point.exemplars)
    }
}

fn exponential(point: &ExponentialHistogramDataPoint, nature: Nature) -> Point {
    let distribution = Distribution::new(point.count, point.sum, point.min, point.max)
        .with_exponential(Exponential::of(point));
    let value = Value::Distribution(distribution);
    let kind = (Kind::Exponential, nature);
    Point {
        start: point.start_time_unix_nano,
        time: point.time_unix_nano,
        ..Point::new(&point.attributes, value, kind, &point.exemplars)
    }
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
