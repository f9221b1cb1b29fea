//! The service as a whole: rate, errors and latency of its requests.

use serde::Serialize;

use super::{Event, Route, end, recent, routes::routes};
use crate::{
    pulse::{LATENCIES, Rows, quantile},
    ring::SECONDS,
    state,
};

#[derive(Serialize)]
pub(crate) struct Service {
    /// The services that send.
    pub(crate) names: Vec<String>,
    /// Of the last ten seconds.
    pub(crate) requests_per_second: f64,
    /// The share of the requests of the last two minutes that failed.
    pub(crate) error_ratio: Option<f64>,
    /// Of the last two minutes, by second.
    pub(crate) requests: Vec<f64>,
    pub(crate) errors: Vec<f64>,
    /// Quantiles of the last two minutes, in seconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// Since the workers started.
    pub(crate) routes: Vec<Route>,
    /// Unix time in seconds of the last value.
    pub(crate) end: u64,
    /// When something happened to a worker, as a share of the time that charts show, and whether it
    /// was bad.
    #[serde(skip)]
    pub(crate) marks: Vec<(f64, bool)>,
    /// Of each worker, with the number of its colour.
    #[serde(skip)]
    pub(crate) lines: Vec<(usize, Vec<f64>)>,
    /// Requests by second and latency.
    #[serde(skip)]
    pub(crate) heat: Vec<Rows>,
}

pub(crate) fn service(state: &state::State) -> Service {
    let end = end();
    let mut names: Vec<_> = state
        .pulse
        .beats()
        .map(|beat| beat.instance.service().to_owned())
        .collect();
    names.sort();
    names.dedup();
    let (mut requests, mut errors) = (vec![0.0; SECONDS], vec![0.0; SECONDS]);
    let mut lines = Vec::new();
    for beat in state.pulse.beats() {
        let window = beat.window(end);
        for (second, tick) in window.iter().enumerate() {
            requests[second] += tick.requests;
            errors[second] += tick.errors;
        }
        let fleet = state
            .pulse
            .fleets()
            .find(|fleet| fleet.instance.service() == beat.instance.service());
        if fleet.is_none() {
            let line = window.iter().map(|tick| tick.requests).collect();
            lines.push((state.pulse.place(&beat.instance), line));
        }
    }
    let slots = state.pulse.fleets().flat_map(|fleet| &fleet.slots);
    lines.extend(slots.map(|(number, slot)| (usize::from(*number), slot.requests.window(end))));
    lines.retain(|(_, line)| line.iter().any(|requests| *requests > 0.0));
    let total: f64 = requests.iter().sum();
    let heat = state.pulse.latencies(end);
    let mut rows = Rows::default();
    for second in &heat {
        for row in 0..=LATENCIES.len() {
            rows[row] += second[row];
        }
    }
    let marks = state.pulse.marks().map(Event::of);
    Service {
        names,
        requests_per_second: recent(&requests),
        error_ratio: (total > 0.0).then(|| errors.iter().sum::<f64>() / total),
        p50: quantile(&rows, 0.5),
        p95: quantile(&rows, 0.95),
        p99: quantile(&rows, 0.99),
        requests,
        errors,
        routes: routes(state),
        end,
        lines,
        marks: marks.map(|event| (event.share, event.is_bad)).collect(),
        heat,
    }
}
