//! What the live view draws over time: the requests of each instance by second, their latencies,
//! the values of metrics, and what happened to workers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    common::v1::any_value::Value as Any,
    logs::v1::ScopeLogs,
    trace::v1::{ScopeSpans, Span, span::SpanKind, status::StatusCode},
};

use crate::{
    attribute,
    instance::Instance,
    ring::{Ring, SECONDS},
    totals::{Change, Totals},
    value::Value,
};

/// Instances and metrics that are drawn at most; further ones are counted elsewhere.
const MAX_INSTANCES: usize = 256;
const MAX_METRICS: usize = 500;

/// Changes of worker processes that are remembered.
const MAX_MARKS: usize = 50;

/// The requests in a first export that are drawn at most. A collector that started later than the
/// service gets the total since the start, which happened in no particular second.
const FIRST_EXPORT: f64 = 1_000.0;

/// Upper bounds of latencies in seconds, a row of the heat map each. The last row has no bound.
pub(crate) const LATENCIES: [f64; 19] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0,
];

pub(crate) type Rows = [u32; LATENCIES.len() + 1];

/// Where the requests of an instance are known from, the most exact first.
const SOURCES: usize = 3;
const METRICS: usize = 0;
const SPANS: usize = 1;
const ACCESS: usize = 2;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) requests: f64,
    pub(crate) errors: f64,
}

/// What is known of one instance over time.
pub(crate) struct Beat {
    pub(crate) instance: Arc<Instance>,
    /// The place in the order of arrival, which chooses the colour.
    pub(crate) place: usize,
    /// Unix time in seconds.
    pub(crate) first: f64,
    pub(crate) last: f64,
    last_metrics: Option<f64>,
    /// Whether it reports slots of workers, as a master does.
    is_harness: bool,
    sources: [Option<Ring<Tick>>; SOURCES],
}

/// Something that happened to a worker process.
pub(crate) struct Mark {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) text: String,
}

#[derive(Default)]
pub(crate) struct Pulse {
    beats: BTreeMap<u64, Beat>,
    places: usize,
    latencies: [Option<Ring<Rows>>; SOURCES],
    /// Buckets of the durations of requests at the last export, by attributes.
    buckets: BTreeMap<Vec<(String, String)>, Vec<u64>>,
    /// Sums of metrics, each with its Unix time in seconds.
    history: BTreeMap<String, VecDeque<(f64, f64)>>,
    marks: VecDeque<Mark>,
    /// Data points that had arrived at the last sample.
    sampled: u64,
    /// Rises with each export.
    pub(crate) version: u64,
}

/// Unix time in seconds.
pub(crate) fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

impl Pulse {
    pub(crate) fn metrics(&mut self, instance: &Arc<Instance>, changes: &[Change]) {
        let now = now();
        self.version += 1;
        for change in changes {
            self.mark(change, now);
        }
        let durations = changes
            .iter()
            .filter(|change| change.metric == "http.server.request.duration");
        let mut seen = None::<Tick>;
        for change in durations {
            let added = change.added.as_f64().max(0.0);
            let tick = seen.get_or_insert_default();
            tick.requests += added;
            if change.attributes.iter().any(|(key, _)| key == "error.type") {
                tick.errors += added;
            }
            self.add_buckets(change, now);
        }
        let Some(beat) = self.beat(instance, now) else {
            return;
        };
        let since = beat.last_metrics.replace(now);
        beat.is_harness |= changes
            .iter()
            .any(|change| change.metric.starts_with("worker."));
        let Some(tick) = seen else { return };
        let ring = beat.sources[METRICS].get_or_insert_default();
        let is_flood = since.is_none() && tick.requests > FIRST_EXPORT;
        if is_flood {
            return;
        }
        // The requests are spread over the time since the last export.
        let last = now as u64;
        let first = since.map_or(last, |since| (since as u64 + 1).min(last));
        let first = first.max(last.saturating_sub(SECONDS as u64 - 1));
        let share = 1.0 / (last - first + 1) as f64;
        for second in first..=last {
            if let Some(bucket) = ring.at(second) {
                bucket.requests += tick.requests * share;
                bucket.errors += tick.errors * share;
            }
        }
    }

    /// Adds what the buckets of a histogram have gained since the last export.
    fn add_buckets(&mut self, change: &Change, now: f64) {
        let Value::Distribution(distribution) = &change.sum else {
            return;
        };
        let (bounds, counts) = distribution.buckets();
        let is_known = self.buckets.contains_key(&change.attributes);
        if !is_known && self.buckets.len() >= MAX_METRICS {
            return;
        }
        let before = self.buckets.entry(change.attributes.clone()).or_default();
        let is_flood = !is_known && distribution.count as f64 > FIRST_EXPORT;
        let rows = self.latencies[METRICS].get_or_insert_default();
        if let Some(rows) = rows.at(now as u64).filter(|_| !is_flood) {
            for (bucket, count) in counts.iter().enumerate() {
                let gained = count.saturating_sub(before.get(bucket).copied().unwrap_or(0));
                let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
                let row = &mut rows[row(bound)];
                *row = row.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX));
            }
        }
        *before = counts.to_vec();
    }

    pub(crate) fn spans(&mut self, instance: &Arc<Instance>, scopes: &[ScopeSpans]) {
        self.version += 1;
        let servers = scopes.iter().flat_map(|scope| &scope.spans);
        let servers = servers.filter(|span| span.kind() == SpanKind::Server);
        let finished = servers.map(|span| {
            let end = span.end_time_unix_nano as f64 / 1e9;
            (end, duration(span), is_error(span))
        });
        self.finished(SPANS, instance, finished);
    }

    pub(crate) fn logs(&mut self, instance: &Arc<Instance>, scopes: &[ScopeLogs]) {
        self.version += 1;
        let access = scopes.iter().filter(|scope| {
            let scope = scope.scope.as_ref();
            scope.is_some_and(|scope| scope.name == "access")
        });
        let finished = access
            .flat_map(|scope| &scope.log_records)
            .filter_map(|record| {
                let find = |key| attribute::find(&record.attributes, key);
                let Some(Any::DoubleValue(duration)) = find("access.duration") else {
                    return None;
                };
                let failed = matches!(
                    find("http.response.status_code"),
                    Some(Any::IntValue(500..))
                );
                let time = record.time_unix_nano.max(record.observed_time_unix_nano);
                Some((time as f64 / 1e9, *duration, failed))
            });
        self.finished(ACCESS, instance, finished);
    }

    fn finished(
        &mut self,
        source: usize,
        instance: &Arc<Instance>,
        requests: impl Iterator<Item = (f64, f64, bool)>,
    ) {
        let now = now();
        // A clock that is ahead must not push out what is there.
        let requests: Vec<_> = requests.filter(|(time, ..)| *time < now + 5.0).collect();
        let Some(beat) = self.beat(instance, now) else {
            return;
        };
        if requests.is_empty() {
            return;
        }
        let ticks = beat.sources[source].get_or_insert_default();
        for (time, _, failed) in &requests {
            if let Some(tick) = ticks.at(*time as u64) {
                tick.requests += 1.0;
                tick.errors += f64::from(u8::from(*failed));
            }
        }
        let rows = self.latencies[source].get_or_insert_default();
        for (time, duration, _) in requests {
            if let Some(rows) = rows.at(time as u64) {
                rows[row(duration)] += 1;
            }
        }
    }

    fn beat(&mut self, instance: &Arc<Instance>, now: f64) -> Option<&mut Beat> {
        if !self.beats.contains_key(&instance.number) {
            if self.beats.len() >= MAX_INSTANCES {
                let oldest = self.beats.values().min_by(|a, b| a.last.total_cmp(&b.last));
                let oldest = oldest.map(|beat| beat.instance.number)?;
                self.beats.remove(&oldest);
            }
            let beat = Beat {
                instance: Arc::clone(instance),
                place: self.places,
                first: now,
                last: now,
                last_metrics: None,
                is_harness: false,
                sources: Default::default(),
            };
            self.places += 1;
            self.beats.insert(instance.number, beat);
        }
        let beat = self.beats.get_mut(&instance.number)?;
        beat.last = now;
        Some(beat)
    }

    /// Remembers the sums of all metrics, if something has arrived since the last time. Called
    /// every second.
    pub(crate) fn sample(&mut self, totals: &Totals) {
        if self.sampled == totals.data_points() {
            return;
        }
        self.sampled = totals.data_points();
        let mut sums = BTreeMap::<&str, f64>::new();
        for (key, series) in totals.iter(Instant::now()) {
            let sum = series.sum().map_or(0.0, |sum| sum.amount().as_f64());
            *sums.entry(&key.metric).or_default() += sum;
        }
        let now = now();
        for (metric, sum) in sums {
            if !self.history.contains_key(metric) && self.history.len() >= MAX_METRICS {
                continue;
            }
            let history = self.history.entry(metric.to_owned()).or_default();
            history.push_back((now, sum));
            if history.len() > SECONDS {
                history.pop_front();
            }
        }
    }

    /// Notes what the metrics of a harness say about processes.
    fn mark(&mut self, change: &Change, now: f64) {
        let added = change.added.as_f64();
        let is_first = change.total.amount().as_f64() == added;
        let what = match change.metric.as_str() {
            "worker.spawns" => "started",
            "worker.exits" => "ended",
            "worker.reloads" => "reload",
            _ => return,
        };
        let find = |key: &str| {
            let found = change.attributes.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.as_str())
        };
        let why = ["reason", "kind", "result"].into_iter().find_map(find);
        let why = why.unwrap_or_default();
        if added <= 0.0 || is_first && why == "boot" {
            return;
        }
        let text = match find("slot") {
            Some(slot) => format!("worker {slot} {what}: {why}"),
            None => format!("{what}: {why}"),
        };
        self.marks.push_back(Mark { time: now, text });
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_front();
        }
    }

    pub(crate) fn beats(&self) -> impl Iterator<Item = &Beat> {
        self.beats.values()
    }

    pub(crate) fn place(&self, instance: &Instance) -> Option<usize> {
        Some(self.beats.get(&instance.number)?.place)
    }

    pub(crate) fn marks(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.marks.iter()
    }

    pub(crate) fn history(&self, metric: &str) -> Vec<(f64, f64)> {
        let history = self.history.get(metric);
        history.into_iter().flatten().copied().collect()
    }

    /// Latencies by second up to `end`, from the source with the finest ones.
    pub(crate) fn latencies(&self, end: u64) -> Option<Vec<Rows>> {
        let sources = [SPANS, ACCESS, METRICS].into_iter();
        let ring = sources.filter_map(|source| self.latencies[source].as_ref());
        Some(ring.take(1).next()?.window(end))
    }
}

impl Beat {
    /// Requests by second up to `end`.
    pub(crate) fn window(&self, end: u64) -> Vec<Tick> {
        let ring = self.sources.iter().flatten().next();
        ring.map_or_else(|| vec![Tick::default(); SECONDS], |ring| ring.window(end))
    }

    pub(crate) fn is_harness(&self) -> bool {
        self.is_harness
    }

    /// Whether it exports at intervals, so that silence means something.
    pub(crate) fn has_metrics(&self) -> bool {
        self.last_metrics.is_some()
    }
}

/// Seconds.
pub(crate) fn duration(span: &Span) -> f64 {
    let nanoseconds = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    nanoseconds as f64 / 1e9
}

pub(crate) fn is_error(span: &Span) -> bool {
    let status = span.status.as_ref();
    status.is_some_and(|status| status.code() == StatusCode::Error)
}

fn row(seconds: f64) -> usize {
    LATENCIES.partition_point(|bound| *bound < seconds)
}

/// The latency below which the share `q` of requests is, interpolated within its row.
pub(crate) fn quantile(rows: &Rows, q: f64) -> Option<f64> {
    let total: f64 = rows.iter().map(|count| f64::from(*count)).sum();
    let rank = q * total;
    let mut below = 0.0;
    for (index, count) in rows.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= rank {
            let upper = LATENCIES.get(index).copied().unwrap_or(20.0);
            let lower = index.checked_sub(1).map_or(0.0, |index| LATENCIES[index]);
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_row_of_its_bound_and_quantiles_are_between_bounds() {
        assert_eq!(row(0.0), 0);
        assert_eq!(row(1e-3), 6);
        assert_eq!(row(1.1e-3), 7);
        assert_eq!(row(1e9), LATENCIES.len());
        let mut rows = Rows::default();
        assert_eq!(quantile(&rows, 0.5), None);
        rows[6] = 10;
        let median = quantile(&rows, 0.5).unwrap_or_default();
        assert!((median - 0.75e-3).abs() < 1e-9, "{median}");
    }
}
