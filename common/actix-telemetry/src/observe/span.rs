//! The server span of a request, after the [HTTP semantic conventions].
//!
//! [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server

use std::cell::RefCell;

use actix_web::{dev::ServiceRequest, http::StatusCode};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue, StringValue,
    global::{self, BoxedTracer},
    trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::Sampler;
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT,
    NETWORK_PROTOCOL_VERSION, URL_PATH, URL_QUERY, URL_SCHEME, USER_AGENT_ORIGINAL,
};

use super::{
    head::{self, Head},
    method::Method,
    parts::Thread,
    request::{bounded, protocol_version},
    route::Route,
    scheme::Scheme,
};
use crate::{env::sdk_disabled, exception::Exception, query::without_values};

/// Starts the spans of requests.
pub(super) struct Spans {
    tracer: BoxedTracer,
    /// Decides before the tracer does. `None` leaves the decision to the tracer.
    sampler: RefCell<Option<Sampler>>,
}

impl Spans {
    /// Those of the process, with the scope of this crate.
    pub(super) fn of_process(sampler: Option<Sampler>) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        // A disabled SDK passes the caller's context on unchanged.
        let sampler = sampler.filter(|_| !sdk_disabled());
        Self::of(global::tracer_with_scope(scope), sampler)
    }

    pub(super) fn of(tracer: BoxedTracer, sampler: Option<Sampler>) -> Self {
        let sampler = RefCell::new(sampler);
        Self { tracer, sampler }
    }

    /// Starts the span of a request below the context that its caller sent, and says
    /// whether it is recorded.
    pub(super) fn start(
        &self,
        name: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        caller: &Context,
    ) -> (Context, bool) {
        let ask = |sampler: &Sampler| Head::ask(sampler, name, caller);
        let head = self.sampler.borrow().as_ref().map(ask);
        let start = || {
            let mut builder = self.tracer.span_builder(name);
            builder.span_kind = Some(SpanKind::Server);
            builder.attributes = Some(attributes());
            self.tracer.build_with_context(builder, caller)
        };
        let span = match head {
            Some(Head::Dropped(ids)) => return (caller.with_remote_span_context(ids), false),
            Some(Head::Root(trace_id)) => {
                let (span, is_passed_on) = head::begin(trace_id, start);
                if !is_passed_on {
                    // The provider decides on another id, so a ratio would apply twice.
                    self.sampler.take();
                }
                span
            }
            Some(Head::Child) | None => start(),
        };
        match span.is_recording() {
            true => (caller.with_span(span), true),
            // Its ids are all that anybody needs of it.
            false => {
                let ids = span.span_context().clone();
                (caller.with_remote_span_context(ids), false)
            }
        }
    }
}

/// The name has the pattern of the route and never the path, which a client makes up.
pub(super) fn name(method: Method, route: Option<&'static Route>) -> &'static str {
    match route {
        Some(route) => route.span_name(method),
        None => method.span_name(),
    }
}

/// The attributes that are known at the start, so that a sampler can decide on them.
///
/// What comes from the `Host` header is left out, since that is whatever a client says.
pub(super) fn attributes(
    thread: &Thread,
    request: &ServiceRequest,
    method: Method,
    route: Option<&Route>,
    path: StringValue,
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(12);
    let mut add = |name, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
    add(HTTP_REQUEST_METHOD, method.as_str().into());
    if method == Method::Other {
        let original = bounded(request.method().as_str());
        add(HTTP_REQUEST_METHOD_ORIGINAL, original.into_owned().into());
    }
    if let Some(route) = route {
        add(HTTP_ROUTE, route.pattern.into());
    }
    add(URL_PATH, path.into());
    let query = request.query_string();
    if !query.is_empty() {
        let query = without_values(query);
        add(URL_QUERY, bounded(&query).into_owned().into());
    }
    add(URL_SCHEME, Scheme::of(request).as_str().into());
    if let Some(version) = protocol_version(request.version()) {
        add(NETWORK_PROTOCOL_VERSION, version.into());
    }
    if let Some(address) = thread.peers.address(request) {
        add(CLIENT_ADDRESS, address.clone().into());
        add(NETWORK_PEER_ADDRESS, address.into());
    }
    if let Some(peer) = request.peer_addr() {
        add(NETWORK_PEER_PORT, i64::from(peer.port()).into());
    }
    if let Some(agent) = thread.peers.user_agent(request) {
        add(USER_AGENT_ORIGINAL, agent.into());
    }
    attributes
}

/// Names the route that was found after the span had started.
pub(super) fn routed(context: &Context, method: Method, route: &'static Route) {
    let span = context.span();
    span.update_name(route.span_name(method));
    span.set_attribute(KeyValue::new(HTTP_ROUTE, route.pattern));
}

/// Sets the status of the response. A status of 4xx is an error of the client and
/// none of the server.
pub(super) fn answered(context: &Context, status: StatusCode) {
    let code = i64::from(status.as_u16());
    let span = context.span();
    span.set_attribute(KeyValue::new(HTTP_RESPONSE_STATUS_CODE, code));
    if status.is_server_error() {
        // The status code says it all, so there is no description.
        span.set_status(Status::error(""));
    }
}

/// Adds the handler's error as an event.
pub(super) fn exception(context: &Context, exception: &Exception) {
    context
        .span()
        .add_event("exception", exception.attributes());
}

/// Ends the span. `cut` is the reason if the client did not get all of the response.
pub(super) fn end(context: &Context, error_type: Option<&str>, cut: Option<&'static str>) {
    let span = context.span();
    if let Some(error_type) = error_type {
        span.set_attribute(KeyValue::new(ERROR_TYPE, error_type.to_owned()));
    }
    if let Some(description) = cut {
        span.set_status(Status::error(description));
    }
    span.end();
}
