//! What the live view shows, made of what was received. The page and the interface for programs
//! are two forms of it.

mod logs;
mod losses;
mod metrics;
mod routes;
mod service;
mod traces;
mod workers;

pub(crate) use self::{
    logs::{Log, logs},
    losses::{Losses, losses},
    metrics::{Card, Exemplar, Line, cards},
    routes::Route,
    service::{Service, service},
    traces::{Row, Step, Waterfall, traces, waterfall},
    workers::{Event, State, Worker, Workers, workers},
};

use crate::{pulse, ring::SECONDS};

/// Seconds before now at which charts end: an export may be that late.
const LAG: u64 = 3;

/// How many times as many records as are shown are put into the order of their time.
const ARRIVED: usize = 4;

/// The last second of a chart, in Unix time.
fn end() -> u64 {
    (pulse::now() as u64).saturating_sub(LAG)
}

/// The mean of the last ten seconds.
fn recent(values: &[f64]) -> f64 {
    const RECENT: usize = 10;
    values[SECONDS - RECENT..].iter().sum::<f64>() / RECENT as f64
}
