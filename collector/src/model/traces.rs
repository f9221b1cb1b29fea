//! The latest traces, and all of one trace.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::{ARRIVED, logs::Log};
use crate::{
    attribute,
    pulse::{duration, is_error},
    query::Query,
    received::ReceivedSpan,
    state,
};

/// Traces in the list, and spans of one trace, at most.
const MAX_ROWS: usize = 50;
const MAX_STEPS: usize = 500;

/// Spans that are searched for the list, the latest ones.
const MAX_SEARCHED: usize = 20_000;

/// A trace in the list.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) trace_id: String,
    pub(crate) name: String,
    pub(crate) route: String,
    pub(crate) status: String,
    pub(crate) is_error: bool,
    pub(crate) milliseconds: f64,
    pub(crate) spans: usize,
    pub(crate) pids: Vec<String>,
    /// Of the first span, Unix time in seconds.
    pub(crate) time: f64,
    /// Number of the colour, slot and pid.
    #[serde(skip)]
    pub(crate) workers: Vec<(usize, Option<u16>, String)>,
}

/// A trace with its spans as a tree.
#[derive(Serialize)]
pub(crate) struct Waterfall {
    pub(crate) trace_id: String,
    pub(crate) milliseconds: f64,
    pub(crate) steps: Vec<Step>,
    /// Records of no span that is here.
    pub(crate) logs: Vec<Log>,
    /// Spans that are not in the list.
    pub(crate) more: usize,
}

/// A span.
#[derive(Serialize)]
pub(crate) struct Step {
    pub(crate) span_id: String,
    pub(crate) parent_span_id: String,
    pub(crate) depth: usize,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) service: String,
    pub(crate) pid: String,
    pub(crate) slot: Option<u16>,
    #[serde(skip)]
    pub(crate) place: usize,
    /// Since the start of the trace.
    pub(crate) start_ms: f64,
    pub(crate) milliseconds: f64,
    pub(crate) is_error: bool,
    pub(crate) status_message: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) events: Vec<(String, Vec<(String, String)>)>,
    /// Trace and span ids.
    pub(crate) links: Vec<(String, String)>,
    pub(crate) logs: Vec<Log>,
}

/// The latest traces that the query wants.
pub(crate) fn traces(state: &state::State, query: &Query) -> Vec<Row> {
    let mut order = Vec::<&[u8]>::new();
    let mut traces = HashMap::<&[u8], Vec<&ReceivedSpan>>::new();
    for span in state.kept.spans().rev().take(MAX_SEARCHED) {
        let id = span.span.trace_id.as_slice();
        traces
            .entry(id)
            .or_insert_with(|| {
                order.push(id);
                Vec::new()
            })
            .push(span);
    }
    let rows = order.into_iter().map(|id| &traces[id]);
    let wanted = rows.filter_map(|spans| row(state, spans)).filter(|row| {
        (query.route.is_empty() || row.route == query.route)
            && (query.status.is_empty() || row.status == query.status)
            && row.milliseconds >= query.min_seconds() * 1e3
            && (!query.errors || row.is_error)
    });
    // Workers export in turn: the latest to arrive are not yet the latest.
    let mut rows: Vec<_> = wanted.take(MAX_ROWS * ARRIVED).collect();
    rows.sort_by(|a, b| b.time.total_cmp(&a.time));
    rows.truncate(MAX_ROWS);
    rows
}

/// The spans are those of one trace.
fn row(state: &state::State, spans: &[&ReceivedSpan]) -> Option<Row> {
    let first = spans
        .iter()
        .map(|span| span.span.start_time_unix_nano)
        .min()?;
    let last = spans
        .iter()
        .map(|span| span.span.end_time_unix_nano)
        .max()?;
    let root = spans.iter().min_by_key(|span| {
        (
            !span.span.parent_span_id.is_empty(),
            span.span.start_time_unix_nano,
        )
    })?;
    let text = |name| attribute::text(&root.span.attributes, name).unwrap_or_default();
    let workers = spans.iter().map(|span| {
        let pid = span.instance.pid().unwrap_or("?").to_owned();
        (
            state.pulse.place(&span.instance),
            state.pulse.slot(&span.instance),
            pid,
        )
    });
    let workers = workers.collect::<BTreeSet<_>>();
    Some(Row {
        trace_id: root.trace_id(),
        name: root.span.name.clone(),
        route: text("http.route"),
        status: text("http.response.status_code"),
        is_error: spans.iter().any(|span| is_error(&span.span)),
        milliseconds: last.saturating_sub(first) as f64 / 1e6,
        spans: spans.len(),
        pids: workers.iter().map(|(.., pid)| pid.clone()).collect(),
        time: first as f64 / 1e9,
        workers: workers.into_iter().collect(),
    })
}

/// All spans and records of a trace that are still here.
pub(crate) fn waterfall(state: &state::State, trace: &str) -> Option<Waterfall> {
    let mut spans: Vec<_> = state
        .kept
        .spans()
        .filter(|span| span.trace_id() == trace)
        .collect();
    spans.sort_by_key(|span| span.span.start_time_unix_nano);
    let first = spans.first()?.span.start_time_unix_nano;
    let last = spans
        .iter()
        .map(|span| span.span.end_time_unix_nano)
        .max()?;
    let mut logs = HashMap::<Vec<u8>, Vec<Log>>::new();
    let records = state.kept.logs();
    for log in records.filter(|log| log.trace_id() == trace) {
        let of_span = logs.entry(log.record.span_id.clone()).or_default();
        if of_span.len() < MAX_ROWS {
            of_span.push(Log::of(state, log));
        }
    }
    let ids: HashSet<_> = spans.iter().map(|span| &span.span.span_id).collect();
    let mut children = HashMap::<&[u8], Vec<&ReceivedSpan>>::new();
    let mut open: Vec<(usize, &ReceivedSpan)> = Vec::new();
    for span in &spans {
        let parent = &span.span.parent_span_id;
        if ids.contains(parent) && *parent != span.span.span_id {
            children.entry(parent).or_default().push(span);
        } else {
            open.push((0, span));
        }
    }
    open.reverse();
    let mut steps = Vec::new();
    while let Some((depth, span)) = open.pop()
        && steps.len() < MAX_STEPS
    {
        // Removed, so that a circle of parents has an end.
        let below = children.remove(span.span.span_id.as_slice());
        open.extend(
            below
                .into_iter()
                .flatten()
                .rev()
                .map(|span| (depth + 1, span)),
        );
        let logs = logs.remove(&span.span.span_id).unwrap_or_default();
        steps.push(step(state, span, depth, first, logs));
    }
    let mut rest: Vec<_> = logs.into_values().flatten().collect();
    rest.sort_by(|a, b| a.time.total_cmp(&b.time));
    rest.truncate(MAX_ROWS);
    Some(Waterfall {
        trace_id: trace.to_owned(),
        milliseconds: last.saturating_sub(first) as f64 / 1e6,
        more: spans.len() - steps.len(),
        steps,
        logs: rest,
    })
}

fn step(
    state: &state::State,
    received: &ReceivedSpan,
    depth: usize,
    first: u64,
    logs: Vec<Log>,
) -> Step {
    let span = &received.span;
    let events = span.events.iter().take(MAX_ROWS);
    let links = span.links.iter().take(MAX_ROWS);
    Step {
        span_id: received.span_id(),
        parent_span_id: received.parent_span_id(),
        depth,
        name: span.name.clone(),
        kind: match span.kind {
            2 => "server",
            3 => "client",
            4 => "producer",
            5 => "consumer",
            _ => "internal",
        },
        service: received.instance.service().to_owned(),
        pid: received.instance.pid().unwrap_or("?").to_owned(),
        slot: state.pulse.slot(&received.instance),
        place: state.pulse.place(&received.instance),
        start_ms: span.start_time_unix_nano.saturating_sub(first) as f64 / 1e6,
        milliseconds: duration(span) * 1e3,
        is_error: is_error(span),
        status_message: span
            .status
            .as_ref()
            .map(|status| status.message.clone())
            .unwrap_or_default(),
        attributes: attribute::sorted(&span.attributes),
        events: events
            .map(|event| (event.name.clone(), attribute::sorted(&event.attributes)))
            .collect(),
        links: links
            .map(|link| {
                (
                    attribute::hex(&link.trace_id),
                    attribute::hex(&link.span_id),
                )
            })
            .collect(),
        logs,
    }
}
