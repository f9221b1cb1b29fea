//! Sums over all instances of a service. They never fall when a worker restarts or dies.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;

use crate::{
    activity::Activity,
    identity::{Key, Scope},
    instance::Instance,
    points::{self, Example, Kind, Nature, Point},
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
    activity: Activity,
    streams: usize,
    data_points: u64,
    overflowed: u64,
}

pub(crate) struct Series {
    /// Keyed by the number of the instance. Boxed, because a map has room for eleven in place, and
    /// most series have one or two.
    streams: BTreeMap<u64, Box<Stream>>,
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
    /// A measurement with its span.
    pub(crate) example: Option<Example>,
}

impl Totals {
    /// Adds the data points of one instance. Returns the changes in the order of arrival.
    pub(crate) fn apply(
        &mut self,
        instance: &Arc<Instance>,
        scopes: &[ScopeMetrics],
        now: Instant,
    ) -> Vec<Change> {
        self.activity.saw(instance.number, now);
        let mut changes = Vec::new();
        for metrics in scopes {
            let scope = Scope::of(metrics.scope.as_ref());
            for metric in &metrics.metrics {
                for point in points::of(metric) {
                    self.data_points += 1;
                    let key = Key::new(instance, &scope, metric, &point);
                    changes.extend(self.apply_point(instance, key, point, now));
                }
            }
        }
        changes
    }

    /// Removes the streams of an instance. Their totals stay in the sums; current values, such as
    /// gauges, are dropped.
    pub(crate) fn retire(&mut self, instance: u64) {
        self.activity.forget(instance);
        let mut gone = 0;
        self.series.retain(|key, series| {
            if let Some(stream) = series.streams.remove(&instance) {
                gone += 1;
                if !key.kind.is_current() {
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

    /// The series, each with its living streams.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = (&Key, Living<'_>)> {
        self.series
            .iter()
            .map(move |(key, series)| (key, series.living(key.kind, &self.activity, now)))
    }

    /// Whether an instance still exports metrics.
    pub(crate) fn is_alive(&self, instance: &Instance, now: Instant) -> bool {
        self.activity.is_alive(instance.number, now)
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
        key: Key,
        point: Point,
        now: Instant,
    ) -> Option<Change> {
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
        let example = point.example.clone();
        let added = series.apply(instance, point)?;
        let living = series.living(key.kind, &self.activity, now);
        Some(Change {
            metric: key.metric,
            unit: key.unit,
            attributes: key.attributes,
            nature,
            added,
            total: series.streams.get(&instance.number)?.total(),
            sum: living.sum()?,
            instances: living.streams.len(),
            example,
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

/// A series with the streams that count: gauges and up-down counters of a process that has
/// ended say nothing any more.
pub(crate) struct Living<'a> {
    streams: Vec<&'a Stream>,
    retired: Option<&'a Value>,
}

impl Living<'_> {
    /// Sum over all instances, including evicted ones.
    pub(crate) fn sum(&self) -> Option<Value> {
        let totals = self.streams.iter().map(|stream| stream.total());
        self.retired
            .into_iter()
            .cloned()
            .chain(totals)
            .reduce(|sum, total| sum.plus(&total))
    }

    /// Returns each instance with its total.
    pub(crate) fn per_instance(&self) -> impl Iterator<Item = (&Instance, Value)> {
        self.streams
            .iter()
            .map(|stream| (stream.instance.as_ref(), stream.total()))
    }
}

impl Series {
    fn living(&self, kind: Kind, activity: &Activity, now: Instant) -> Living<'_> {
        let counts = |number: &u64| !kind.is_current() || activity.is_alive(*number, now);
        let streams = self.streams.iter().filter(|(number, _)| counts(number));
        Living {
            streams: streams.map(|(_, stream)| stream.as_ref()).collect(),
            retired: self.retired.as_ref(),
        }
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
            self.streams.insert(instance.number, Box::new(stream));
            return Some(added);
        };
        let before = stream.total();
        stream.apply(point);
        let after = stream.total();
        (!after.is_same(&before)).then(|| after.amount().minus(before.amount()))
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
mod tests;
