//! The list of traces, and the waterfall of the one that is open.

use maud::{Markup, html};

use super::{
    chart::colour,
    format::{clock, seconds, text},
    logs,
    workers::sender,
};
use crate::{
    model::{Row, Step, Waterfall},
    query::Query,
};

/// How far a name is indented at most.
const MAX_DEPTH: usize = 12;

pub(super) fn list(rows: &[Row], query: &Query) -> Markup {
    html! {
        @if rows.is_empty() {
            p.panel.empty { (if query.filters_traces() { "No trace matches." } else { "No trace has arrived." }) }
        } @else {
            ul.panel.traces.scroll tabindex="0" {
                @for row in rows { (line(row, query)) }
            }
        }
    }
}

fn line(row: &Row, query: &Query) -> Markup {
    let is_open = row.trace_id == query.trace;
    let target = if is_open { "" } else { &row.trace_id };
    html! {
        li.sel[is_open] {
            a id={ "t" (row.trace_id) } href={ (query.with_trace(target).encode()) "#waterfall" } aria-expanded=(is_open) {
                span.dot.e[row.is_error] title=(if row.is_error { "error" } else { "no error" }) {}
                span.name { (text(&row.name)) }
                span.st { (text(&row.status)) }
                span.dur { (seconds(row.milliseconds / 1e3)) }
                span.sp {
                    (row.spans) (if row.spans == 1 { " span" } else { " spans" })
                    @for (place, slot, pid) in row.workers.iter().take(4) { " " (sender(*place, *slot, pid)) }
                }
                time { (clock(row.time)) }
            }
        }
    }
}

pub(super) fn waterfall(found: Option<&Waterfall>, query: &Query) -> Markup {
    let Some(trace) = found else {
        return html! {
            @if !query.trace.is_empty() {
                p.panel.empty { "Trace " (text(&query.trace)) " is unknown, or no longer kept." }
            }
        };
    };
    html! {
        div.panel {
            p.caption {
                b { (trace.steps.first().map(|step| text(&step.name)).unwrap_or_default()) }
                " trace " code { (text(&trace.trace_id)) } " · " (seconds(trace.milliseconds / 1e3))
                " · " (trace.steps.len() + trace.more) (if trace.steps.len() == 1 { " span " } else { " spans " })
                a.close href=(query.with_trace("").encode()) { "close" }
            }
            ul.wf { @for step in &trace.steps { (bar(step, trace.milliseconds, query)) } }
            @if trace.more > 0 { p.mute { "and " (trace.more) " more spans" } }
            @for log in &trace.logs { (logs::line(log, query)) }
        }
    }
}

fn bar(step: &Step, total: f64, query: &Query) -> Markup {
    let share = |part: f64| (part / total.max(1e-6) * 100.0).clamp(0.0, 100.0);
    let (left, width) = (share(step.start_ms), share(step.milliseconds).max(0.4));
    html! {
        li.err[step.is_error] {
            details id={ "s" (step.span_id) } {
                summary {
                    span class={ "name d" (step.depth.min(MAX_DEPTH)) } {
                        (text(&step.name)) " " i { (step.kind) }
                    }
                    (sender(step.place, step.slot, &step.pid))
                    svg.bar aria-hidden="true" {
                        rect class=(colour(step.place)) x={ (format!("{:.2}", left.min(99.6))) "%" }
                            width={ (format!("{width:.2}")) "%" } height="100%" rx="3" {}
                    }
                    span.dur { (seconds(step.milliseconds / 1e3)) }
                }
                dl.attributes {
                    dt { "service" } dd { (text(&step.service)) }
                    @if !step.status_message.is_empty() { dt { "status" } dd { (text(&step.status_message)) } }
                    @for (name, value) in &step.attributes { dt { (text(name)) } dd { (text(value)) } }
                    @for (trace, span) in &step.links {
                        dt { "link" } dd { a href={ (query.with_trace(trace).encode()) "#waterfall" } { (trace) } " " (span) }
                    }
                }
            }
            @for (name, attributes) in &step.events {
                p class={ "event d" ((step.depth + 1).min(MAX_DEPTH)) } {
                    b { (text(name)) }
                    @for (name, value) in attributes.iter().take(6) { " " i { (text(name)) "=" (text(value)) } }
                }
            }
            @for log in &step.logs {
                div class={ "d" ((step.depth + 1).min(MAX_DEPTH)) } { (logs::line(log, query)) }
            }
        }
    }
}
