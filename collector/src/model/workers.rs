//! The worker processes: a slot of a harness each, and other processes that send.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde::Serialize;

use super::{end, recent};
use crate::{
    pulse::{self, Beat, Fleet, Mark, Slot},
    ring::SECONDS,
    state,
};

/// How long a process that has ended stays on the page, in seconds.
const FAREWELL: f64 = 60.0;

/// A process is quiet after this time without an export, in seconds.
const QUIET: f64 = 15.0;

/// Workers that are shown at most.
const MAX_WORKERS: usize = 64;

/// Events that are shown at most.
const MAX_EVENTS: usize = 8;

#[derive(Serialize)]
pub(crate) struct Workers {
    pub(crate) workers: Vec<Worker>,
    /// Workers that are not in the list.
    pub(crate) more: usize,
    pub(crate) events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    // Of a slot, as its harness says.
    Booting,
    Serving,
    Draining,
    Stalled,
    /// Its last process failed or was killed.
    Dead,
    Stopped,
    // Of a process without a harness, by its exports.
    /// It exports.
    Live,
    /// It has nothing to export, or it has ended.
    Quiet,
    /// It missed several exports.
    Gone,
}

/// A slot of a harness, or a process that sends telemetry and has no slot.
#[derive(Serialize)]
pub(crate) struct Worker {
    pub(crate) service: String,
    pub(crate) slot: Option<u16>,
    pub(crate) pid: String,
    pub(crate) state: State,
    /// Chooses the colour.
    #[serde(skip)]
    pub(crate) place: usize,
    /// Since the start of the process, or since its first export.
    pub(crate) age_seconds: Option<f64>,
    pub(crate) seconds_since_last_export: Option<f64>,
    pub(crate) requests_per_second: f64,
    /// From `http.server.active_requests`.
    pub(crate) in_flight: Option<f64>,
    /// Open connections.
    pub(crate) connections: Option<f64>,
    /// Connections that wait to be accepted.
    pub(crate) queued: Option<f64>,
    /// Of the last two minutes, by second.
    pub(crate) requests: Vec<f64>,
    /// What happened to the slot, the latest last.
    pub(crate) events: Vec<Event>,
}

#[derive(Serialize)]
pub(crate) struct Event {
    /// Unix time in seconds.
    pub(crate) time: f64,
    pub(crate) text: String,
    pub(crate) is_bad: bool,
    /// When it was, as a share of the time that charts show.
    #[serde(skip)]
    pub(crate) share: f64,
}

impl Event {
    pub(super) fn of(mark: &Mark) -> Self {
        let begin = end() as f64 - SECONDS as f64;
        Self {
            time: mark.time,
            text: mark.text.clone(),
            is_bad: mark.is_bad,
            share: (mark.time - begin) / SECONDS as f64,
        }
    }
}

pub(crate) fn workers(state: &state::State) -> Workers {
    let in_flight = in_flight(state);
    let mut workers = Vec::new();
    for fleet in state.pulse.fleets() {
        let of_pid = of_pid(state, fleet);
        for (number, slot) in &fleet.slots {
            let beat = slot.pid.as_ref().and_then(|pid| of_pid.get(pid.as_str()));
            workers.extend(of_slot(
                state,
                fleet,
                (*number, slot),
                beat.copied(),
                &in_flight,
            ));
        }
    }
    for beat in state.pulse.beats() {
        let is_harness = |fleet: &Fleet| fleet.instance.number == beat.instance.number;
        let is_listed = state.pulse.slot(&beat.instance).is_some();
        if !is_listed && !state.pulse.fleets().any(is_harness) {
            workers.extend(of_process(
                beat,
                state.pulse.place(&beat.instance),
                &in_flight,
            ));
        }
    }
    workers.sort_by_key(|worker| {
        (
            worker.slot.is_none(),
            worker.state == State::Gone,
            worker.place,
        )
    });
    let more = workers.len().saturating_sub(MAX_WORKERS);
    workers.truncate(MAX_WORKERS);
    let mut marks: Vec<_> = state.pulse.marks().collect();
    marks.reverse();
    marks.sort_by(|a, b| b.time.total_cmp(&a.time));
    Workers {
        workers,
        more,
        events: marks.into_iter().take(MAX_EVENTS).map(Event::of).collect(),
    }
}

/// The processes of a harness that send, by their pid.
fn of_pid<'a>(state: &'a state::State, fleet: &Fleet) -> HashMap<&'a str, &'a Beat> {
    let service = fleet.instance.service();
    let beats = state.pulse.beats();
    let beats = beats.filter(|beat| beat.instance.service() == service);
    let with_pid = beats.filter_map(|beat| Some((beat.instance.pid()?, beat)));
    with_pid.collect()
}

/// `None` if the slot was given up some time ago.
fn of_slot(
    state: &state::State,
    fleet: &Fleet,
    (number, slot): (u16, &Slot),
    beat: Option<&Beat>,
    in_flight: &BTreeMap<u64, f64>,
) -> Option<Worker> {
    let now = pulse::now();
    let master = state.pulse.beat_of(&fleet.instance);
    let requests = slot.requests.window(end());
    let place = Some((fleet.instance.number, number));
    let marks = state.pulse.marks().filter(|mark| mark.slot == place);
    let events: Vec<_> = marks.map(Event::of).collect();
    let status = match slot {
        _ if master.is_none_or(Beat::has_ended) => State::Gone,
        slot if slot.is_stalled() => State::Stalled,
        slot if slot.is_up => State::Serving,
        slot if slot.is_booting => State::Booting,
        slot if slot.is_draining => State::Draining,
        slot if slot.failed => State::Dead,
        _ => State::Stopped,
    };
    let ended = match status {
        State::Gone => Some(fleet.last),
        State::Stopped => Some(events.last().map_or(0.0, |event| event.time)),
        _ => None,
    };
    if ended.is_some_and(|ended| now - ended > FAREWELL) {
        return None;
    }
    Some(Worker {
        service: fleet.instance.service().to_owned(),
        slot: Some(number),
        pid: slot.pid.clone().unwrap_or_else(|| "?".to_owned()),
        state: status,
        place: number.into(),
        age_seconds: slot.started.map(|started| (now - started).max(0.0)),
        seconds_since_last_export: beat.map(|beat| (now - beat.last).max(0.0)),
        requests_per_second: recent(&requests),
        in_flight: beat.and_then(|beat| in_flight.get(&beat.instance.number).copied()),
        connections: Some(slot.connections),
        queued: slot.accept_queue,
        requests,
        events,
    })
}

/// `None` if it ended some time ago.
fn of_process(beat: &Beat, place: usize, in_flight: &BTreeMap<u64, f64>) -> Option<Worker> {
    let now = pulse::now();
    let silent = (now - beat.last).max(0.0);
    if beat.has_ended() && silent > FAREWELL {
        return None;
    }
    let window = beat.window(end());
    let requests: Vec<_> = window.iter().map(|tick| tick.requests).collect();
    Some(Worker {
        service: beat.instance.service().to_owned(),
        slot: None,
        pid: beat.instance.pid().unwrap_or("?").to_owned(),
        state: match beat.has_ended() {
            true => State::Gone,
            false if silent > QUIET => State::Quiet,
            false => State::Live,
        },
        place,
        age_seconds: Some(now - beat.first),
        seconds_since_last_export: Some(silent),
        requests_per_second: recent(&requests),
        in_flight: in_flight.get(&beat.instance.number).copied(),
        connections: None,
        queued: None,
        requests,
        events: Vec::new(),
    })
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
