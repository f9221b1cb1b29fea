//! A card for each metric.

use maud::{Markup, html};

use super::{
    chart::spark,
    format::{number, seconds, text},
};
use crate::{
    model::{Card, Exemplar, Line},
    query::Query,
};

pub(super) fn cards(cards: &[Card], query: &Query) -> Markup {
    html! {
        @if cards.is_empty() { p.panel.empty { "No metric has arrived." } }
        ul.cards { @for card in cards { (draw(card, query)) } }
    }
}

fn draw(card: &Card, query: &Query) -> Markup {
    let values: Vec<_> = card.history.iter().map(|(_, value)| *value).collect();
    let is_total =
        ["counter", "histogram", "exponential histogram", "summary"].contains(&card.kind);
    // Annotations such as `{request}` repeat the name, and bytes are told by the number.
    let unit = match card.unit.as_str() {
        "By" => String::new(),
        unit if unit.starts_with('{') => String::new(),
        unit => text(unit),
    };
    let id = format!("m{}-{}-{}", card.name, card.unit, card.kind);
    html! {
        li.panel {
            b {
                // A name may be broken behind a dot or an underscore.
                @for word in text(&card.name).split_inclusive(['.', '_']) { (word) wbr; }
            }
            span.mute { (card.kind) @if !unit.is_empty() { " · " (unit) } }
            strong {
                (number(card.total)) @if card.unit == "By" { "B" }
                @if is_total && let Some(rate) = values.last() && *rate > 0.0 { small { " +" (number(*rate)) "/s" } }
            }
            @if values.len() > 1 { (spark(&values, "")) }
            @if !card.exemplars.is_empty() {
                p.exemplars {
                    "e.g."
                    @for exemplar in &card.exemplars { " " (link(exemplar, &card.unit, query)) }
                }
            }
            details id=(text(&id)) {
                summary { (card.series.len() + card.more) " series" }
                @for line in &card.series { (series(line, &card.unit)) }
                @if card.more > 0 { p.mute { "and " (card.more) " more" } }
            }
        }
    }
}

/// To the trace of a measurement.
fn link(exemplar: &Exemplar, unit: &str, query: &Query) -> Markup {
    html! {
        a href={ (query.with_trace(&exemplar.trace_id).encode()) "#waterfall" } title="open its trace" {
            (measure(exemplar.value, unit))
        }
    }
}

fn measure(value: f64, unit: &str) -> String {
    match unit {
        "s" => seconds(value),
        _ => number(value),
    }
}

fn series(line: &Line, unit: &str) -> Markup {
    html! {
        p.series {
            b { (number(line.value)) }
            @if let Some(mean) = line.mean { " mean " (measure(mean, unit)) }
            @if let Some(p50) = line.p50 { " p50 " (measure(p50, unit)) }
            @if let Some(p95) = line.p95 { " p95 " (measure(p95, unit)) }
            @for (name, value) in &line.attributes { " " i { (text(name)) "=" (text(value)) } }
        }
    }
}
