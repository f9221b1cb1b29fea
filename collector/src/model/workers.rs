//! The processes that send, and what the harness says about their slots.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use super::{end, recent};
use crate::{pulse, state, value::Value};

/// How long a process that has ended stays on the page, in seconds.
const FAREWELL: f64 = 60.0;

/// A process is quiet after this time without an export, in seconds.
const QUIET: f64 = 15.0;

/// Processes that are shown at most.
const MAX_WORKERS: usize = 64;

/// Events that are shown at most.
const MAX_EVENTS: usize = 8;

#[derive(Serialize)]
pub(crate) struct Workers {
    pub(crate) workers: Vec<Worker>,
    /// Processes that are not in the list.
    pub(crate) more: usize,
    /// Empty without the metrics of a harness.
    pub(crate) slots: Vec<Slot>,
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It exports.
    Live,
    /// It has nothing to export, or it has ended.
    Quiet,
    /// It missed several exports.
    Gone,
}

/// A process that sends telemetry.
#[derive(Serialize)]
pub(crate) struct Worker {
    pub(crate) service: String,
    pub(crate) pid: String,
    pub(crate) instance: String,
    pub(crate) state: State,
    /// Chooses the colour.
    #[serde(skip)]
    pub(crate) place: usize,
    pub(crate) seconds_since_first_export: f64,
    pub(crate) seconds_since_last_export: f64,
    pub(crate) requests_per_second: f64,
    /// From `http.server.active_requests`.
    pub(crate) in_flight: Option<f64>,
    /// Of the last two minutes, by second.
    pub(crate) requests: Vec<f64>,
}

/// The place of a worker, as the harness reports it.
#[derive(Default, Serialize)]
pub(crate) struct Slot {
    pub(crate) slot: String,
    pub(crate) up: bool,
    pub(crate) connections: f64,
    pub(crate) accept_queue: f64,
    pub(crate) heartbeat_age: Option<f64>,
    pub(crate) requests: f64,
    pub(crate) spawns: BTreeMap<String, f64>,
    pub(crate) exits: BTreeMap<String, f64>,
}

#[derive(Serialize)]
pub(crate) struct Event {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) text: String,
}

pub(crate) fn workers(state: &state::State) -> Workers {
    let now = pulse::now();
    let in_flight = in_flight(state);
    let mut workers = Vec::new();
    for beat in state.pulse.beats() {
        let instance = &beat.instance;
        let silent = now - beat.last;
        let status = match beat.has_ended() {
            true => State::Gone,
            false if silent > QUIET => State::Quiet,
            false => State::Live,
        };
        // A master pushes metrics of its workers and serves no requests.
        let requests: Vec<_> = beat
            .window(end())
            .iter()
            .map(|tick| tick.requests)
            .collect();
        if status == State::Gone && silent > FAREWELL || beat.is_harness() {
            continue;
        }
        workers.push(Worker {
            service: instance.service().to_owned(),
            pid: instance.pid().unwrap_or("?").to_owned(),
            instance: instance.id().to_owned(),
            state: status,
            place: beat.place,
            seconds_since_first_export: now - beat.first,
            seconds_since_last_export: silent.max(0.0),
            requests_per_second: recent(&requests),
            in_flight: in_flight.get(&instance.number).copied(),
            requests,
        });
    }
    workers.sort_by_key(|worker| (worker.state == State::Gone, worker.place));
    let more = workers.len().saturating_sub(MAX_WORKERS);
    workers.truncate(MAX_WORKERS);
    let mut marks: Vec<_> = state.pulse.marks().collect();
    marks.sort_by(|a, b| b.time.total_cmp(&a.time));
    let events = marks.into_iter().take(MAX_EVENTS).map(|mark| Event {
        time: mark.time,
        text: mark.text.clone(),
    });
    Workers {
        workers,
        more,
        slots: slots(state),
        events: events.collect(),
    }
}

/// Requests in progress, by the number of the instance.
fn in_flight(state: &state::State) -> BTreeMap<u64, f64> {
    let mut in_flight = BTreeMap::new();
    for (key, series) in state.totals.iter(Instant::now()) {
        if key.metric == "http.server.active_requests" {
            for (instance, value) in series.per_instance() {
                *in_flight.entry(instance.number).or_default() += value.amount().as_f64();
            }
        }
    }
    in_flight
}

fn slots(state: &state::State) -> Vec<Slot> {
    let mut slots = BTreeMap::<u64, Slot>::new();
    for (key, series) in state.totals.iter(Instant::now()) {
        let Some(metric) = key.metric.strip_prefix("worker.") else {
            continue;
        };
        let find = |wanted: &str| {
            let found = key.attributes.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let Some(number) = find("slot").and_then(|slot| slot.parse().ok()) else {
            continue;
        };
        let Some(Value::Number(value)) = series.sum() else {
            continue;
        };
        let value = value.as_f64();
        let slot = slots.entry(number).or_default();
        slot.slot = number.to_string();
        match metric {
            "up" => slot.up = value > 0.0,
            "connections" => slot.connections = value,
            "accept_queue" => slot.accept_queue = value,
            "heartbeat.age" => slot.heartbeat_age = Some(value),
            "requests" => slot.requests = value,
            "spawns" if value > 0.0 => {
                slot.spawns
                    .insert(find("reason").unwrap_or_default().to_owned(), value);
            }
            "exits" if value > 0.0 => {
                slot.exits
                    .insert(find("kind").unwrap_or_default().to_owned(), value);
            }
            _ => {}
        }
    }
    slots.into_values().take(MAX_WORKERS).collect()
}
