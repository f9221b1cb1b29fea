//! Sums over all instances of a service. They never fall when a worker restarts or dies.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use opentelemetry_proto::tonic::metrics::v1::Metric;

use crate::{
    instance::Instance,
    points::{self, Nature, Point},
    value::{Number, Value},
};

/// Maximum number of series, and of streams (a series of one instance). Data points of further ones
/// are counted and left out.
const MAX_SERIES: usize = 10_000;
const MAX_STREAMS: usize = 50_000;

/// Maximum total length of service, metric name and attributes of a series, in bytes.
const MAX_KEY: usize = 4_096;

#[derive(Default)]
pub(crate) struct Totals {
    series: HashMap<Key, Series>,
    streams: usize,
    data_points: u64,
    overflowed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) service: String,
    pub(crate) metric: String,
    pub(crate) attributes: Vec<(String, String)>,
    kind: Kind,
}

/// Instruments with the same name but of different kinds are different series: their values cannot
/// be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Latest,
    Distribution,
}

pub(crate) struct Series {
    /// Keyed by the number of the instance.
    streams: BTreeMap<u64, Stream>,
    /// Total of evicted instances.
    retired: Option<Value>,
}

/// One series of one instance.
struct Stream {
    instance: Arc<Instance>,
    /// Total of the stream before its last restart.
    earlier: Option<Value>,
    latest: Value,
    start: u64,
    time: u64,
}

/// The effect of a data point on a series.
pub(crate) struct Change {
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) nature: Nature,
    /// Increase since the instance's last export.
    pub(crate) added: Number,
    /// The instance's new total.
    pub(crate) total: Value,
    /// The total of all instances.
    pub(crate) sum: Value,
    /// Number of instances in the sum. Evicted instances are part of the sum, but not counted here.
    pub(crate) instances: usize,
}

impl Totals {
    /// Adds the data points of one instance. Returns the changes in the order of arrival.
    pub(crate) fn apply<'a>(
        &mut self,
        instance: &Arc<Instance>,
        metrics: impl Iterator<Item = &'a Metric>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for metric in metrics {
            for point in points::of(metric) {
                self.data_points += 1;
                changes.extend(self.apply_point(instance, metric, point));
            }
        }
        changes
    }

    /// Removes the streams of an instance. Their totals stay in the sums; current values, such as
    /// gauges, are dropped.
    pub(crate) fn retire(&mut self, instance: u64) {
        let mut gone = 0;
        self.series.retain(|key, series| {
            if let Some(stream) = series.streams.remove(&instance) {
                gone += 1;
                if key.kind != Kind::Latest {
                    let total = stream.total();
                    series.retired = Some(
                        series
                            .retired
                            .as_ref()
                            .map_or_else(|| total.clone(), |retired| retired.plus(&total)),
                    );
                }
            }
            series.retired.is_some() || !series.streams.is_empty()
        });
        self.streams -= gone;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Series)> {
        self.series.iter()
    }

    pub(crate) fn data_points(&self) -> u64 {
        self.data_points
    }

    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }

    fn apply_point(
        &mut self,
        instance: &Arc<Instance>,
        metric: &Metric,
        point: Point,
    ) -> Option<Change> {
        let key = Key::new(instance, metric, &point);
        let known = self
            .series
            .get(&key)
            .map(|series| series.streams.contains_key(&instance.number));
        if known != Some(true) {
            if !self.has_room(known.is_some(), &key) {
                return None;
            }
            self.streams += 1;
        }
        let series = self.series.entry(key.clone()).or_insert_with(|| Series {
            streams: BTreeMap::new(),
            retired: None,
        });
        let nature = point.nature;
        let added = series.apply(instance, point)?;
        Some(Change {
            metric: key.metric,
            unit: metric.unit.clone(),
            attributes: key.attributes,
            nature,
            added,
            total: series.streams.get(&instance.number)?.total(),
            sum: series.sum()?,
            instances: series.streams.len(),
        })
    }

    /// Whether another stream may be added. Logs once if none may.
    fn has_room(&mut self, series_exists: bool, key: &Key) -> bool {
        let has_room = self.streams < MAX_STREAMS
            && (series_exists || self.series.len() < MAX_SERIES && key.len() <= MAX_KEY);
        if !has_room {
            self.overflowed += 1;
            if self.overflowed == 1 {
                log::warn!(
                    "too many series, or a series with attributes of more than {MAX_KEY} bytes: data points of further series \
                     are counted and left out; the limit is {MAX_SERIES} series ({MAX_STREAMS} over all instances)"
                );
            }
        }
        has_room
    }
}

impl Key {
    fn new(instance: &Instance, metric: &Metric, point: &Point) -> Self {
        let kind = match (&point.value, point.nature) {
            (Value::Distribution(_), _) => Kind::Distribution,
            (Value::Number(_), Nature::Latest) => Kind::Latest,
            (Value::Number(_), Nature::Counter | Nature::Delta) => Kind::Sum,
        };
        Self {
            service: instance.service().to_owned(),
            metric: metric.name.clone(),
            attributes: point.attributes.clone(),
            kind,
        }
    }

    fn len(&self) -> usize {
        let attributes = self
            .attributes
            .iter()
            .map(|(key, value)| key.len() + value.len());
        self.service.len() + self.metric.len() + attributes.sum::<usize>()
    }
}

impl Series {
    /// Sum over all instances, including evicted ones.
    pub(crate) fn sum(&self) -> Option<Value> {
        let totals = self.streams.values().map(Stream::total);
        self.retired
            .iter()
            .cloned()
            .chain(totals)
            .reduce(|sum, total| sum.plus(&total))
    }

    /// Returns each instance with its total.
    pub(crate) fn per_instance(&self) -> impl Iterator<Item = (&Instance, Value)> {
        self.streams
            .values()
            .map(|stream| (stream.instance.as_ref(), stream.total()))
    }

    /// Returns the increase, or `None` if the point is a repetition or older.
    fn apply(&mut self, instance: &Arc<Instance>, point: Point) -> Option<Number> {
        let Some(stream) = self.streams.get_mut(&instance.number) else {
            let added = point.value.amount();
            let stream = Stream {
                instance: Arc::clone(instance),
                earlier: None,
                latest: point.value,
                start: point.start,
                time: point.time,
            };
            self.streams.insert(instance.number, stream);
            return Some(added);
        };
        let before = stream.total();
        stream.apply(point);
        let after = stream.total();
        (after != before).then(|| after.amount().minus(before.amount()))
    }
}

impl Stream {
    fn total(&self) -> Value {
        match &self.earlier {
            None => self.latest.clone(),
            Some(earlier) => earlier.plus(&self.latest),
        }
    }

    fn apply(&mut self, point: Point) {
        // A client that timed out sends its request again. Its points are counted already.
        let is_repeated = point.start == self.start && point.time == self.time && point.time != 0;
        let is_older = precedes(point.start, self.start) || precedes(point.time, self.time);
        match point.nature {
            Nature::Delta if is_repeated => return,
            Nature::Delta => self.latest = self.latest.plus(&point.value),
            Nature::Counter | Nature::Latest if is_older => return,
            Nature::Latest => self.latest = point.value,
            Nature::Counter => {
                let restarted =
                    precedes(self.start, point.start) || point.value.is_below(&self.latest);
                if restarted {
                    self.earlier = Some(self.total());
                }
                self.latest = point.value;
            }
        }
        self.start = point.start;
        self.time = point.time;
    }
}

/// Whether `a` is before `b`. 0 means that the time is unknown.
fn precedes(a: u64, b: u64) -> bool {
    a != 0 && a < b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instances;

    fn counter(start: u64, time: u64, value: i64) -> Point {
        Point {
            attributes: Vec::new(),
            start,
            time,
            value: Value::Number(Number::Int(value)),
            nature: Nature::Counter,
        }
    }

    fn total_after(points: Vec<Point>) -> i64 {
        let (instance, _) = Instances::default().intern(None);
        let mut series = Series {
            streams: BTreeMap::new(),
            retired: None,
        };
        for point in points {
            series.apply(&instance, point);
        }
        match series.sum() {
            Some(Value::Number(Number::Int(value))) => value,
            other => panic!("an integer was expected: {other:?}"),
        }
    }

    #[test]
    fn a_cumulative_stream_counts_its_latest_value() {
        assert_eq!(total_after(vec![counter(1, 2, 5), counter(1, 3, 9)]), 9);
    }

    #[test]
    fn a_new_start_time_adds_to_the_previous_total() {
        assert_eq!(total_after(vec![counter(1, 2, 5), counter(3, 4, 9)]), 14);
    }

    #[test]
    fn a_lower_value_without_a_start_time_adds_to_the_previous_total() {
        assert_eq!(total_after(vec![counter(0, 2, 5), counter(0, 4, 2)]), 7);
    }

    #[test]
    fn an_older_point_that_arrives_late_changes_nothing() {
        assert_eq!(total_after(vec![counter(1, 3, 9), counter(1, 2, 5)]), 9);
    }

    #[test]
    fn a_delta_that_is_sent_twice_counts_once() {
        let delta = |start, time, value| Point {
            nature: Nature::Delta,
            ..counter(start, time, value)
        };
        assert_eq!(
            total_after(vec![delta(1, 2, 5), delta(1, 2, 5), delta(2, 3, 1)]),
            6
        );
    }

    #[test]
    fn more_series_than_the_limit_are_counted_and_left_out() {
        let (instance, _) = Instances::default().intern(None);
        let mut totals = Totals::default();
        let metric = Metric::default();
        for number in 0..MAX_SERIES + 5 {
            let point = Point {
                attributes: vec![("n".to_owned(), number.to_string())],
                ..counter(1, 2, 1)
            };
            totals.apply_point(&instance, &metric, point);
        }
        assert_eq!(totals.series.len(), MAX_SERIES);
        assert_eq!(totals.overflowed(), 5);
    }

    #[test]
    fn an_evicted_instance_stays_in_the_sum() {
        let (instance, _) = Instances::default().intern(None);
        let mut totals = Totals::default();
        let metric = Metric::default();
        totals.apply_point(&instance, &metric, counter(1, 2, 7));
        totals.retire(instance.number);
        let sums: Vec<_> = totals
            .iter()
            .filter_map(|(_, series)| series.sum())
            .collect();
        assert_eq!(sums, [Value::Number(Number::Int(7))]);
        assert_eq!(totals.streams, 0);
    }
}
