//! A box for each process that sends, and a line for each slot of a harness.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    chart::{colour, spark},
    format::{age, clock, number, text},
};
use crate::model::{Slot, State, Worker, Workers};

pub(super) fn workers(workers: &Workers) -> Markup {
    let services: std::collections::BTreeSet<_> = workers
        .workers
        .iter()
        .map(|worker| &worker.service)
        .collect();
    html! {
        @if workers.workers.is_empty() {
            p.empty { "No process has sent anything yet." }
        }
        ul.workers {
            @for worker in &workers.workers { (card(worker, services.len() > 1)) }
        }
        @if workers.more > 0 { p.mute { "and " (workers.more) " more" } }
        @if !workers.slots.is_empty() { (slots(&workers.slots)) }
        @if !workers.events.is_empty() {
            ul.marks {
                @for event in &workers.events {
                    li { time { (clock(event.time)) } " " (text(&event.text)) }
                }
            }
        }
    }
}

fn card(worker: &Worker, names_service: bool) -> Markup {
    let (class, state) = match worker.state {
        State::Live => ("live", "live"),
        State::Quiet => ("quiet", "quiet"),
        State::Gone => ("gone", "gone"),
    };
    let colour = colour(worker.place);
    html! {
        li class={ "worker " (class) " " (colour) } {
            header {
                b { "pid " (text(&worker.pid)) }
                @if names_service { span.mute { (text(&worker.service)) } }
                span.state { (state) }
            }
            (spark(&worker.requests, &colour))
            dl {
                div { dt { "req/s" } dd { (number(worker.requests_per_second)) } }
                div { dt { "in flight" }
                    dd { @match worker.in_flight { Some(count) => (number(count)), None => "–" } } }
                div { dt { "last export" } dd { (age(worker.seconds_since_last_export)) " ago" } }
                div { dt { "here for" } dd { (age(worker.seconds_since_first_export)) } }
            }
        }
    }
}

fn slots(slots: &[Slot]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.slots {
                thead {
                    tr {
                        th { "slot" } th { "state" } th.n { "requests" } th.n { "connections" }
                        th.n { "queued" } th.n { "heartbeat" } th { "started" } th { "ended" }
                    }
                }
                tbody {
                    @for slot in slots {
                        tr {
                            td { (text(&slot.slot)) }
                            td.good[slot.up].bad[!slot.up] { (if slot.up { "serving" } else { "down" }) }
                            td.n { (number(slot.requests)) }
                            td.n { (number(slot.connections)) }
                            td.n.bad[slot.accept_queue > 0.0] { (number(slot.accept_queue)) }
                            td.n { @match slot.heartbeat_age { Some(seconds) => { (age(seconds)) " ago" }, None => "–" } }
                            td { (counts(&slot.spawns)) }
                            td { (counts(&slot.exits)) }
                        }
                    }
                }
            }
        }
    }
}

fn counts(counts: &BTreeMap<String, f64>) -> String {
    let counts = counts
        .iter()
        .map(|(what, count)| format!("{} {}", text(what), number(*count)));
    counts.collect::<Vec<_>>().join(" · ")
}
