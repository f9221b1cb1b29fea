//! What the live view draws over time: the requests of each instance by second, their latencies,
//! the values of metrics, and what happened to workers.

mod beat;
mod examples;
mod fleet;
mod history;
mod latency;
mod marks;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    common::v1::any_value::Value as Any,
    logs::v1::ScopeLogs,
    trace::v1::{ScopeSpans, Span, span::SpanKind, status::StatusCode},
};

pub(crate) use self::{
    beat::Beat,
    fleet::{Fleet, Slot},
    latency::{LATENCIES, Rows, quantile},
    marks::Mark,
};
use self::{
    beat::{ACCESS, METRICS, SPANS, Tick},
    examples::Examples,
    fleet::Fleets,
    history::History,
    latency::Latencies,
    marks::Marks,
};
use crate::{
    attribute,
    instance::Instance,
    points::Example,
    totals::{Change, Totals},
};

/// Instances that are drawn at most. The one that was silent for longest makes room.
const MAX_INSTANCES: usize = 256;

/// The requests in a first export that are drawn at most. A collector that started later than the
/// service gets the total since the start, which happened in no particular second.
const FIRST_EXPORT: f64 = 1_000.0;

/// The time before a first export in which its requests are drawn, in seconds.
const FIRST_INTERVAL: f64 = 3.0;

#[derive(Default)]
pub(crate) struct Pulse {
    beats: BTreeMap<u64, Beat>,
    places: usize,
    latencies: Latencies,
    history: History,
    examples: Examples,
    fleets: Fleets,
    marks: Marks,
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
        self.fleets.note(instance, changes, &mut self.marks, now);
        for change in changes {
            self.examples.note(change);
        }
        let durations = changes
            .iter()
            .filter(|change| change.metric == "http.server.request.duration");
        let mut seen = None::<Tick>;
        for change in durations {
            let added = change.added.as_f64().max(0.0);
            let tick = seen.get_or_insert_default();
            tick.requests += added;
            if attribute::is_error(&change.attributes) {
                tick.errors += added;
            }
            self.latencies.add_buckets(change, now);
        }
        let Some(beat) = self.beat(instance, now) else {
            return;
        };
        let since = beat.last_metrics.replace(now);
        let Some(tick) = seen else { return };
        let ring = beat.sources[METRICS].get_or_insert_default();
        let is_flood = since.is_none() && tick.requests > FIRST_EXPORT;
        if is_flood {
            return;
        }
        // The requests are spread over the time since the last export.
        let since = since.unwrap_or(now - FIRST_INTERVAL);
        ring.spread(since, now, |second, share| {
            second.requests += tick.requests * share;
            second.errors += tick.errors * share;
        });
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
        for (time, duration, _) in requests {
            self.latencies.add(source, time, duration);
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
                has_ended: false,
                sources: Default::default(),
            };
            self.places += 1;
            self.beats.insert(instance.number, beat);
            let text = format!("{}: first data", name(instance));
            self.mark_export(instance, now, text);
        }
        let beat = self.beats.get_mut(&instance.number)?;
        beat.last = now;
        Some(beat)
    }

    /// Notes which processes no longer export, and the sums of all metrics if something has
    /// arrived since the last time. Called every second.
    pub(crate) fn sample(&mut self, totals: &Totals) {
        let mut gone = Vec::new();
        for beat in self.beats.values_mut() {
            let has_ended =
                beat.last_metrics.is_some() && !totals.is_alive(&beat.instance, Instant::now());
            if has_ended && !beat.has_ended {
                gone.push((Arc::clone(&beat.instance), beat.last));
            }
            beat.has_ended = has_ended;
        }
        for (instance, time) in gone {
            let text = format!("{} made its last export", name(&instance));
            self.mark_export(&instance, time, text);
        }
        self.history.sample(totals, now());
    }

    /// Notes a first or last export.
    fn mark_export(&mut self, instance: &Instance, time: f64, text: String) {
        self.marks.push(Mark {
            time,
            text,
            is_bad: false,
            export_of: Some(instance.service().to_owned()),
            slot: None,
        });
    }

    pub(crate) fn fleets(&self) -> impl Iterator<Item = &Fleet> {
        self.fleets.iter()
    }

    pub(crate) fn beat_of(&self, instance: &Instance) -> Option<&Beat> {
        self.beats.get(&instance.number)
    }

    pub(crate) fn beats(&self) -> impl Iterator<Item = &Beat> {
        self.beats.values()
    }

    /// The slot of a worker process whose harness is known.
    pub(crate) fn slot(&self, instance: &Instance) -> Option<u16> {
        self.fleets.slot(instance)
    }

    /// Chooses the colour: the slot, or else the place in the order of arrival.
    pub(crate) fn place(&self, instance: &Instance) -> usize {
        let arrival = || Some(self.beats.get(&instance.number)?.place);
        let slot = self.slot(instance).map(usize::from);
        slot.or_else(arrival).unwrap_or_default()
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = &Mark> {
        let is_shown = |mark: &&Mark| match &mark.export_of {
            Some(service) => !self.fleets.has(service),
            None => true,
        };
        self.marks.iter().filter(is_shown)
    }

    pub(crate) fn history(&self, metric: &str) -> Vec<(f64, f64)> {
        self.history.of(metric)
    }

    /// The latest exemplars of a metric, the latest first.
    pub(crate) fn examples(&self, metric: &str) -> impl Iterator<Item = &Example> {
        self.examples.of(metric)
    }

    /// Latencies by second up to `end`, in the finest form that there is.
    pub(crate) fn latencies(&self, end: u64) -> Vec<Rows> {
        self.latencies.window(end)
    }
}

fn name(instance: &Instance) -> String {
    format!("pid {}", attribute::cut(instance.pid().unwrap_or("?"), 20))
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
