//! Assembles traces. The spans of a trace arrive from several workers, in several requests and in
//! any order.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    trace::v1::{ScopeSpans, Span, span::SpanKind, status::StatusCode},
};

use crate::{attribute, instance::Instance};

/// Quiet time after which a trace that looks complete is printed.
const SETTLE: Duration = Duration::from_secs(1);

/// Quiet time after which an incomplete trace is printed: a root, a parent, or the server span of a
/// call is missing. It exceeds 5 s, the default delay of an SDK's batch processor.
const PATIENCE: Duration = Duration::from_secs(6);

/// A trace is printed after this time, even if spans keep arriving.
const MAX_AGE: Duration = Duration::from_secs(30);

/// Beyond these limits traces are printed early. Later spans are printed as an addition.
const MAX_SPANS: usize = 20_000;
const MAX_SPANS_OF_ONE: usize = 1_000;

/// Number of printed traces to remember, to recognize additions.
const MAX_REMEMBERED: usize = 10_000;

/// Number of spans to remember, to recognize those of a repeated export.
const MAX_SEEN: usize = 100_000;

/// Limits for a span: bytes of each text, and number of events.
const MAX_TEXT: usize = 512;
const MAX_EVENTS: usize = 16;

type TraceId = [u8; 16];
type SpanId = [u8; 8];

/// A trace, or the spans that arrived after it was printed.
pub(crate) struct Trace {
    pub(crate) id: String,
    pub(crate) spans: Vec<Node>,
    pub(crate) is_addition: bool,
}

/// The printed parts of a span.
pub(crate) struct Node {
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    /// Unix times in nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The attributes `http.response.status_code` and `error.type`, as text.
    pub(crate) http_status: Option<String>,
    pub(crate) error_type: Option<String>,
    pub(crate) events: Vec<String>,
    pub(crate) instance: Arc<Instance>,
}

pub(crate) struct Traces {
    pending: HashMap<TraceId, Pending>,
    spans: usize,
    full: Vec<Trace>,
    printed: Recent<TraceId>,
    seen: Recent<(TraceId, SpanId)>,
}

/// The latest ids.
struct Recent<T> {
    ids: HashSet<T>,
    order: VecDeque<T>,
    max: usize,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    fn new(max: usize) -> Self {
        Self {
            ids: HashSet::new(),
            order: VecDeque::new(),
            max,
        }
    }

    /// Returns whether the id is new.
    fn insert(&mut self, id: T) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > self.max
            && let Some(forgotten) = self.order.pop_front()
        {
            self.ids.remove(&forgotten);
        }
        true
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            pending: HashMap::new(),
            spans: 0,
            full: Vec::new(),
            printed: Recent::new(MAX_REMEMBERED),
            seen: Recent::new(MAX_SEEN),
        }
    }
}

struct Pending {
    nodes: Vec<Node>,
    since: Instant,
    last: Instant,
}

impl Traces {
    /// Removes spans without valid ids, which the specification forbids, and those of a repeated
    /// export. Returns the number of invalid ones.
    pub(crate) fn keep_new(&mut self, scopes: &mut [ScopeSpans]) -> usize {
        let mut invalid = 0;
        for scope in scopes {
            scope.spans.retain(|span| match ids(span) {
                Some(ids) => self.seen.insert(ids),
                None => {
                    invalid += 1;
                    false
                }
            });
        }
        invalid
    }

    /// Adds spans.
    pub(crate) fn add(&mut self, instance: &Arc<Instance>, scopes: &[ScopeSpans], now: Instant) {
        for span in scopes.iter().flat_map(|scope| &scope.spans) {
            let Some((trace, node)) = Node::of(span, instance) else {
                continue;
            };
            let pending = self.pending.entry(trace).or_insert_with(|| Pending {
                nodes: Vec::new(),
                since: now,
                last: now,
            });
            pending.nodes.push(node);
            pending.last = now;
            self.spans += 1;
            if pending.nodes.len() >= MAX_SPANS_OF_ONE {
                self.set_aside(trace);
            } else if self.spans > MAX_SPANS {
                let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.since);
                if let Some(oldest) = oldest.map(|(trace, _)| *trace) {
                    self.set_aside(oldest);
                }
            }
        }
    }

    /// Removes and returns the traces that are complete or have waited long enough.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Trace> {
        let due: Vec<_> = self
            .pending
            .iter()
            .filter(|(trace, pending)| pending.is_due(now, self.printed.ids.contains(*trace)))
            .map(|(trace, pending)| (pending.since, pending.start(), *trace))
            .collect();
        self.take(due)
    }

    /// Removes and returns all traces, complete or not.
    pub(crate) fn take_all(&mut self) -> Vec<Trace> {
        let all = self
            .pending
            .iter()
            .map(|(trace, pending)| (pending.since, pending.start(), *trace))
            .collect();
        self.take(all)
    }

    /// Traces are ordered by arrival, and those of the same export by their start.
    fn take(&mut self, mut due: Vec<(Instant, u64, TraceId)>) -> Vec<Trace> {
        due.sort();
        for (_, _, trace) in due {
            self.set_aside(trace);
        }
        std::mem::take(&mut self.full)
    }

    fn set_aside(&mut self, trace: TraceId) {
        let Some(pending) = self.pending.remove(&trace) else {
            return;
        };
        self.spans -= pending.nodes.len();
        let is_addition = !self.printed.insert(trace);
        self.full.push(Trace {
            id: attribute::hex(&trace),
            spans: pending.nodes,
            is_addition,
        });
    }
}

impl Pending {
    fn is_due(&self, now: Instant, is_addition: bool) -> bool {
        let quiet = now.duration_since(self.last);
        let wait = if is_addition || self.looks_complete() {
            SETTLE
        } else {
            PATIENCE
        };
        quiet >= wait || now.duration_since(self.since) >= MAX_AGE
    }

    /// Start of the first span.
    fn start(&self) -> u64 {
        let starts = self.nodes.iter().map(|node| node.start);
        starts.min().unwrap_or_default()
    }

    /// True if there is a root, no parent is missing, and every client span has a child.
    fn looks_complete(&self) -> bool {
        let ids: HashSet<SpanId> = self.nodes.iter().map(|node| node.id).collect();
        let parents: HashSet<SpanId> = self.nodes.iter().filter_map(|node| node.parent).collect();
        self.nodes.iter().any(|node| node.parent.is_none())
            && parents.is_subset(&ids)
            && self
                .nodes
                .iter()
                .filter(|node| node.kind == SpanKind::Client)
                .all(|call| parents.contains(&call.id))
    }
}

impl Node {
    fn of(span: &Span, instance: &Arc<Instance>) -> Option<(TraceId, Self)> {
        let (trace, id) = ids(span)?;
        let status = span.status.as_ref();
        let node = Self {
            id,
            parent: span
                .parent_span_id
                .as_slice()
                .try_into()
                .ok()
                .filter(|parent| parent != &[0; 8]),
            name: cut(&span.name),
            kind: span.kind(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            status: status.map(|status| status.code()).unwrap_or_default(),
            message: status
                .map(|status| cut(&status.message))
                .unwrap_or_default(),
            http_status: text_of(&span.attributes, "http.response.status_code"),
            error_type: text_of(&span.attributes, "error.type"),
            events: span.events.iter().take(MAX_EVENTS).map(event).collect(),
            instance: Arc::clone(instance),
        };
        Some((trace, node))
    }
}

/// The ids of a span, if they are valid.
fn ids(span: &Span) -> Option<(TraceId, SpanId)> {
    let trace: TraceId = span.trace_id.as_slice().try_into().ok()?;
    let id: SpanId = span.span_id.as_slice().try_into().ok()?;
    (trace != [0; 16] && id != [0; 8]).then_some((trace, id))
}

/// The name of an event and, for an exception, its type and message.
fn event(event: &opentelemetry_proto::tonic::trace::v1::span::Event) -> String {
    let attribute = |key| text_of(&event.attributes, key);
    let details = [attribute("exception.type"), attribute("exception.message")];
    let words: Vec<_> = [Some(event.name.clone())]
        .into_iter()
        .chain(details)
        .flatten()
        .collect();
    cut(&words.join(": "))
}

fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(cut(&attribute::to_text(attribute.value.as_ref())))
}

fn cut(text: &str) -> String {
    attribute::cut(text, MAX_TEXT).to_owned()
}
