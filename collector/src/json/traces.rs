use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span,
    span::{Event, Link},
};

use super::{
    Object,
    common::{attribute, resource, scope},
};

pub(super) fn resource_spans(spans: &ResourceSpans, object: &mut Object<'_>) {
    resource(spans.resource.as_ref(), object);
    object.list("scopeSpans", &spans.scope_spans, scope_spans);
    object.text("schemaUrl", &spans.schema_url);
}

fn scope_spans(spans: &ScopeSpans, object: &mut Object<'_>) {
    scope(spans.scope.as_ref(), object);
    object.list("spans", &spans.spans, span);
    object.text("schemaUrl", &spans.schema_url);
}

fn span(span: &Span, object: &mut Object<'_>) {
    object.hex("traceId", &span.trace_id);
    object.hex("spanId", &span.span_id);
    object.text("traceState", &span.trace_state);
    object.hex("parentSpanId", &span.parent_span_id);
    object.int("flags", span.flags);
    object.text("name", &span.name);
    object.int("kind", span.kind);
    object.long("startTimeUnixNano", span.start_time_unix_nano);
    object.long("endTimeUnixNano", span.end_time_unix_nano);
    object.list("attributes", &span.attributes, attribute);
    object.int("droppedAttributesCount", span.dropped_attributes_count);
    object.list("events", &span.events, event);
    object.int("droppedEventsCount", span.dropped_events_count);
    object.list("links", &span.links, link);
    object.int("droppedLinksCount", span.dropped_links_count);
    object.object("status", |object| {
        if let Some(status) = &span.status {
            object.text("message", &status.message);
            object.int("code", status.code);
        }
    });
}

fn event(event: &Event, object: &mut Object<'_>) {
    object.long("timeUnixNano", event.time_unix_nano);
    object.text("name", &event.name);
    object.list("attributes", &event.attributes, attribute);
    object.int("droppedAttributesCount", event.dropped_attributes_count);
}

fn link(link: &Link, object: &mut Object<'_>) {
    object.hex("traceId", &link.trace_id);
    object.hex("spanId", &link.span_id);
    object.text("traceState", &link.trace_state);
    object.list("attributes", &link.attributes, attribute);
    object.int("droppedAttributesCount", link.dropped_attributes_count);
    object.int("flags", link.flags);
}
