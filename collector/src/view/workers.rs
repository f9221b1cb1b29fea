//! A box for each worker: a slot of a harness, or a process that sends.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{
    chart::{colour, spark_with_marks},
    format::{age, clock, number, text},
};
use crate::model::{Event, State, Worker, Workers};

pub(super) fn workers(workers: &Workers) -> Markup {
    let services = workers.workers.iter().map(|worker| &worker.service);
    let names_service = services.collect::<BTreeSet<_>>().len() > 1;
    html! {
        @if workers.workers.is_empty() {
            p.empty { "No process has sent anything yet." }
        }
        ul.workers {
            @for worker in &workers.workers { (card(worker, names_service)) }
        }
        @if workers.more > 0 { p.mute { "and " (workers.more) " more" } }
        @if !workers.events.is_empty() {
            ul.marks {
                @for event in &workers.events { (line(event)) }
            }
        }
    }
}

fn line(event: &Event) -> Markup {
    html! { li { time { (clock(event.time)) } " " span.bad[event.is_bad] { (text(&event.text)) } } }
}

/// Who sent something, in the colour of its charts: the slot, or else the process.
pub(super) fn sender(place: usize, slot: Option<u16>, pid: &str) -> Markup {
    html! {
        @match slot {
            Some(slot) => span class={ "on " (colour(place)) } title={ "pid " (text(pid)) } { "worker " (slot) },
            None => span class={ "on " (colour(place)) } { "pid " (text(pid)) },
        }
    }
}

fn card(worker: &Worker, names_service: bool) -> Markup {
    let (class, state) = match worker.state {
        State::Booting => ("new", "booting"),
        State::Serving => ("", "serving"),
        State::Draining => ("quiet", "draining"),
        State::Stalled => ("ill", "stalled"),
        State::Dead => ("ill", "dead"),
        State::Stopped => ("gone", "stopped"),
        State::Live => ("", "live"),
        State::Quiet => ("quiet", "quiet"),
        State::Gone => ("gone", "gone"),
    };
    let colour = colour(worker.place);
    let marks: Vec<_> = worker
        .events
        .iter()
        .map(|event| (event.share, event.is_bad))
        .collect();
    let count = |count: Option<f64>| count.map_or("–".to_owned(), number);
    html! {
        li class={ "worker " (class) " " (colour) } {
            header {
                @match worker.slot {
                    Some(slot) => { b { "worker " (slot) } span.mute { "pid " (text(&worker.pid)) } }
                    None => b { "pid " (text(&worker.pid)) },
                }
                @if names_service { span.mute.service { (text(&worker.service)) } }
                span.state { (state) }
            }
            (spark_with_marks(&worker.requests, &colour, &marks))
            dl {
                div { dt { "req/s" } dd { (number(worker.requests_per_second)) } }
                @if worker.in_flight.is_some() || worker.connections.is_none() {
                    div { dt { "in flight" } dd { (count(worker.in_flight)) } }
                } @else {
                    div { dt { "open" } dd { (count(worker.connections)) } }
                }
                @if worker.slot.is_some() {
                    div { dt { "queued" } dd.bad[worker.queued > Some(0.0)] { (count(worker.queued)) } }
                }
                @if let Some(seconds) = worker.seconds_since_last_export {
                    div { dt { "last data" } dd { (age(seconds)) " ago" } }
                }
                @if let Some(seconds) = worker.age_seconds {
                    div { dt { "up" } dd { (age(seconds)) } }
                }
            }
        }
    }
}
