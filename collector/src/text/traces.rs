//! Formats a trace as an indented tree with durations and workers.

use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use super::{MAX_VALUE, Style, counted, duration, escape, now, quote, worker};
use crate::{
    attribute,
    traces::{Node, Trace},
};

/// Deeper spans are not indented further.
const MAX_INDENTED_DEPTH: usize = 30;

pub(crate) fn block(trace: &Trace, style: Style) -> String {
    let start = trace
        .spans
        .iter()
        .map(|span| span.start)
        .min()
        .unwrap_or_default();
    let end = trace
        .spans
        .iter()
        .map(|span| span.end)
        .max()
        .unwrap_or_default();
    let workers: HashSet<_> = trace
        .spans
        .iter()
        .map(|span| span.instance.number)
        .collect();
    let what = if trace.is_addition { "late " } else { "" };
    let mut block = format!(
        "{} {} {}  {what}{} of {}, {}\n",
        style.dim(now()),
        style.bold("trace"),
        trace.id,
        counted(trace.spans.len(), "span"),
        counted(workers.len(), "worker"),
        elapsed(start, end),
    );
    for place in order(&trace.spans) {
        block.push_str(&lines(&trace.spans[place.index], &place, start, style));
    }
    block
}

/// Position of a span in the tree.
struct Place {
    index: usize,
    /// The vertical lines in front of it.
    prefix: String,
    is_top: bool,
    is_last: bool,
    depth: usize,
}

/// Returns the spans in tree order, siblings by start time. A span whose parent is missing is at the
/// top, and so is one span of each cycle (a faulty sender can create cycles).
fn order(spans: &[Node]) -> Vec<Place> {
    let mut children: HashMap<_, Vec<usize>> = HashMap::new();
    let ids: HashSet<_> = spans.iter().map(|span| span.id).collect();
    let mut by_start: Vec<usize> = (0..spans.len()).collect();
    by_start.sort_by_key(|&index| spans[index].start);
    let mut tops = Vec::new();
    for &index in &by_start {
        match spans[index].parent {
            Some(parent) if ids.contains(&parent) => {
                children.entry(parent).or_default().push(index)
            }
            _ => tops.push(index),
        }
    }
    let mut places = Vec::new();
    let mut seen = HashSet::new();
    for top in tops.into_iter().chain(by_start) {
        descend(top, spans, &children, &mut seen, &mut places);
    }
    places
}

fn descend(
    top: usize,
    spans: &[Node],
    children: &HashMap<[u8; 8], Vec<usize>>,
    seen: &mut HashSet<usize>,
    places: &mut Vec<Place>,
) {
    let mut stack = vec![Place {
        index: top,
        prefix: String::new(),
        is_top: true,
        is_last: true,
        depth: 0,
    }];
    while let Some(place) = stack.pop() {
        if !seen.insert(place.index) {
            continue;
        }
        let below = children
            .get(&spans[place.index].id)
            .map_or(&[][..], Vec::as_slice);
        let prefix = place.prefix_below();
        for (position, &index) in below.iter().enumerate().rev() {
            stack.push(Place {
                index,
                prefix: prefix.clone(),
                is_top: false,
                is_last: position + 1 == below.len(),
                depth: place.depth + 1,
            });
        }
        places.push(place);
    }
}

impl Place {
    fn branch(&self) -> &'static str {
        match (self.is_top, self.is_last) {
            (true, _) => "",
            (false, true) => "└─ ",
            (false, false) => "├─ ",
        }
    }

    fn prefix_below(&self) -> String {
        let step = match (self.is_top, self.is_last) {
            (true, _) => "",
            (false, _) if self.depth > MAX_INDENTED_DEPTH => "",
            (false, true) => "   ",
            (false, false) => "│  ",
        };
        format!("{}{step}", self.prefix)
    }
}

/// The line of a span, and one for each of its events.
fn lines(span: &Node, place: &Place, trace_start: u64, style: Style) -> String {
    let mut lines = format!(
        "  {}{}{}  {}{}  {}  {}",
        place.prefix,
        place.branch(),
        style.bold(escape(&span.name, MAX_VALUE)),
        kind(span.kind),
        http_status(span),
        elapsed(span.start, span.end),
        style.dim(format!("+{}", elapsed(trace_start, span.start))),
    );
    lines.push_str(&status(span, style));
    lines.push_str(&format!(
        "  [{} {}]",
        quote(span.instance.service(), MAX_VALUE),
        worker(&span.instance)
    ));
    if place.is_top
        && let Some(parent) = span.parent
    {
        // The parent belongs to another service, or has not arrived.
        lines.push_str(&style.dim(format!("  child of {}", attribute::hex(&parent))));
    }
    lines.push('\n');
    for event in &span.events {
        let event = escape(event, MAX_VALUE);
        lines.push_str(&format!("  {}  • {event}\n", place.prefix_below()));
    }
    lines
}

/// The HTTP status code, if there is one.
fn http_status(span: &Node) -> String {
    let status = span.http_status.as_deref();
    status.map_or_else(String::new, |status| format!(" {}", escape(status, 12)))
}

/// The status: empty if unset, and for an error its type and description. The type is left out if it
/// repeats the HTTP status code.
fn status(span: &Node, style: Style) -> String {
    let error = match span.status {
        StatusCode::Unset => return String::new(),
        StatusCode::Ok => return format!("  {}", style.green("OK")),
        StatusCode::Error => style.red("ERROR"),
    };
    let kind = span.error_type.as_deref().unwrap_or_default();
    let mut status = format!("  {error}");
    if !kind.is_empty() && span.http_status.as_deref() != Some(kind) {
        status.push_str(&format!(" {}", escape(kind, MAX_VALUE)));
    }
    if !span.message.is_empty() {
        status.push_str(&format!(": {}", escape(&span.message, MAX_VALUE)));
    }
    status
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

/// The time from `start` to `end`. Clocks of several machines differ, so an end can precede a start.
fn elapsed(start: u64, end: u64) -> String {
    duration(end.saturating_sub(start) as f64 / 1e9)
}
