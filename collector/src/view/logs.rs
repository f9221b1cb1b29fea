//! Log records, the latest first.

use maud::{Markup, html};

use super::{
    format::{clock, seconds, text},
    workers::sender,
};
use crate::{attribute, model::Log, query::Query};

/// Attributes of a line at most.
const MAX_ATTRIBUTES: usize = 8;

pub(super) fn list(logs: &[Log], query: &Query) -> Markup {
    html! {
        @if logs.is_empty() {
            p.panel.empty { (if query.filters_logs() { "No log record matches." } else { "No log record has arrived." }) }
        } @else {
            div.panel.logs.scroll tabindex="0" { @for log in logs { (line(log, query)) } }
        }
    }
}

pub(super) fn line(log: &Log, query: &Query) -> Markup {
    let level = match log.severity {
        17.. => "lv e",
        13.. => "lv w",
        _ => "lv",
    };
    let attributes = log
        .attributes
        .iter()
        .filter(|(name, _)| !attribute::is_repeated(name));
    html! {
        p.log {
            time { (clock(log.time)) }
            span class=(level) { (text(&log.level)) }
            (sender(log.place, log.slot, &log.pid))
            span.msg {
                (text(&log.body))
                @for (name, value) in attributes.take(MAX_ATTRIBUTES) { " " i { (text(name)) "=" (shown(name, value)) } }
            }
            @if !log.trace_id.is_empty() && log.trace_id != query.trace {
                a href={ (query.with_trace(&log.trace_id).encode()) "#waterfall" } title="open its trace" {
                    (log.trace_id.get(..8).unwrap_or(&log.trace_id))
                }
            }
        }
    }
}

/// Durations are in seconds, as the conventions have them.
fn shown(name: &str, value: &str) -> String {
    match value.parse() {
        Ok(duration) if name.ends_with(".duration") => seconds(duration),
        _ => text(value),
    }
}
