//! `Span`, with its events and links.

use opentelemetry::{
    KeyValue,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;

use super::{
    nanoseconds,
    protobuf::{bytes, fixed32, fixed64, message, varint},
    value::attribute,
};

/// Bits of `SpanFlags`: it is known whether the parent, or the linked span, is remote; it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Writes a span, as a field of its `ScopeSpans`.
pub(crate) fn span(out: &mut Vec<u8>, span: &SpanData) {
    message(out, 2, |out| fields(out, span));
}

fn fields(out: &mut Vec<u8>, span: &SpanData) {
    ids(out, &span.span_context);
    if span.parent_span_id != SpanId::INVALID {
        bytes(out, 4, span.parent_span_id.to_bytes());
    }
    bytes(out, 5, &*span.name);
    varint(out, 6, kind(&span.span_kind));
    fixed64(out, 7, nanoseconds(span.start_time));
    fixed64(out, 8, nanoseconds(span.end_time));
    attributes(out, 9, &span.attributes);
    varint(out, 10, span.dropped_attributes_count.into());
    for event in span.events.iter() {
        message(out, 11, |out| self::event(out, event));
    }
    varint(out, 12, span.events.dropped_count.into());
    for link in span.links.iter() {
        message(out, 13, |out| self::link(out, link));
    }
    varint(out, 14, span.links.dropped_count.into());
    message(out, 15, |out| match &span.status {
        Status::Unset => {}
        Status::Ok => varint(out, 3, 1),
        Status::Error { description } => {
            bytes(out, 2, &**description);
            varint(out, 3, 2);
        }
    });
    let flags = flags(&span.span_context, span.parent_span_is_remote);
    fixed32(out, 16, flags);
}

fn event(out: &mut Vec<u8>, event: &Event) {
    fixed64(out, 1, nanoseconds(event.timestamp));
    bytes(out, 2, &*event.name);
    attributes(out, 3, &event.attributes);
    varint(out, 4, event.dropped_attributes_count.into());
}

fn link(out: &mut Vec<u8>, link: &Link) {
    let context = &link.span_context;
    ids(out, context);
    attributes(out, 4, &link.attributes);
    varint(out, 5, link.dropped_attributes_count.into());
    fixed32(out, 6, flags(context, context.is_remote()));
}

/// Writes what a span and a link have in common.
fn ids(out: &mut Vec<u8>, context: &SpanContext) {
    bytes(out, 1, context.trace_id().to_bytes());
    bytes(out, 2, context.span_id().to_bytes());
    bytes(out, 3, context.trace_state().header());
}

fn attributes(out: &mut Vec<u8>, tag: u32, attributes: &[KeyValue]) {
    for pair in attributes {
        attribute(out, tag, &pair.key, &pair.value);
    }
}

fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn flags(context: &SpanContext, is_remote: bool) -> u32 {
    let remote = if is_remote { IS_REMOTE } else { 0 };
    u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote
}
