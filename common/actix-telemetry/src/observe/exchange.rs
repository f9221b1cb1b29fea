//! A request from its arrival to the end of its response. However it ends, the
//! exchange is dropped, and reports the end then: one report for all signals.

use std::{
    cell::LazyCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpResponse,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::CONTENT_TYPE},
};
use opentelemetry::{Context, ContextGuard, trace::TraceContextExt as _};

use super::{
    errors::{self, Recorded},
    finished::Finished,
    method::Method,
    parts::Thread,
    request::{self, RequestAttributes, protocol_version},
    route::Route,
    scheme::Scheme,
    span,
};
use crate::{
    emit::{self, AccessLine},
    propagation,
};

pub(super) struct Exchange {
    thread: Rc<Thread>,
    /// Where metrics or the access line tell how long it took.
    began: Option<Instant>,
    method: Method,
    scheme: Scheme,
    protocol_version: Option<&'static str>,
    route: Option<&'static Route>,
    /// Where a signal needs it: request attributes, and the span or its caller's.
    pub(super) context: Option<Context>,
    /// Whether the context has a span that is recorded.
    is_recorded: bool,
    client: Option<Box<Client>>,
    status: Option<StatusCode>,
    error: Option<Box<Recorded>>,
    progress: Progress,
    /// An upgrade or an event stream, whose life is no latency.
    is_stream: bool,
}

/// Who asked, for the access line.
struct Client {
    address: Option<Arc<str>>,
    user_agent: Option<Arc<str>>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Handled,
    /// The head of the response is there, and its body has not come to its end.
    Answered,
    Complete,
}

impl Exchange {
    pub(super) fn begin(thread: &Rc<Thread>, request: &ServiceRequest) -> Self {
        thread.open.began();
        let parts = &thread.parts;
        let method = Method::from(request.method());
        let scheme = Scheme::of(request);
        for metrics in &parts.metrics {
            metrics.began(method, scheme);
        }
        let route = thread.routes.of(request);
        let (context, is_recorded) = match parts.spans || parts.logs {
            true => context(thread, request, method, route),
            false => (None, false),
        };
        let client = || {
            Box::new(Client {
                address: thread.peers.address(request),
                user_agent: thread.peers.user_agent(request),
            })
        };
        Self {
            context,
            is_recorded,
            client: parts.logs.then(client),
            thread: thread.clone(),
            began: (parts.logs || !parts.metrics.is_empty()).then(Instant::now),
            method,
            scheme,
            protocol_version: protocol_version(request.version()),
            route,
            status: None,
            error: None,
            progress: Progress::Handled,
            is_stream: false,
        }
    }

    /// Makes the context of the request the current one.
    pub(super) fn attach(&self) -> Option<ContextGuard> {
        self.context.clone().map(Context::attach)
    }

    /// The context, if its span is recorded.
    fn recorded(&self) -> Option<&Context> {
        self.context.as_ref().filter(|_| self.is_recorded)
    }

    /// Records the error of a handler, whatever becomes of the response further out.
    pub(super) fn failed(&mut self, error: Box<Recorded>) {
        if let (Some(context), Some(exception)) = (self.recorded(), error.exception()) {
            span::exception(context, exception);
        }
        self.error = Some(error);
    }

    /// The head of the response is there, or the error that becomes one.
    pub(super) fn answered<B: MessageBody>(&mut self, result: &Result<ServiceResponse<B>, Error>) {
        self.progress = Progress::Answered;
        let (status, error) = match result {
            Ok(response) => {
                // A middleware may have changed the path, as `NormalizePath` does.
                if self.route.is_none()
                    && let Some(pattern) = response.request().match_pattern()
                {
                    self.routed(&pattern);
                }
                let head = response.response();
                self.is_stream =
                    head.status() == StatusCode::SWITCHING_PROTOCOLS || is_event_stream(head);
                (head.status(), head.error())
            }
            Err(error) => (error.as_response_error().status_code(), Some(error)),
        };
        self.status = Some(status);
        if status.is_server_error()
            && self.error.is_none()
            && let Some(error) = error
        {
            let recorded = errors::recorded(error, &self.thread.parts.errors);
            self.failed(Box::new(recorded));
        }
        if let Some(context) = self.recorded() {
            span::answered(context, status);
        }
        let has_no_body = status.is_informational()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if has_no_body && !self.is_stream || self.method == Method::Head || result.is_err() {
            // The body that an error becomes further out is a short text.
            self.complete();
        }
    }

    fn routed(&mut self, pattern: &str) {
        let route = self.thread.routes.with_pattern(pattern);
        self.route = Some(route);
        if let Some(context) = self.recorded() {
            span::routed(context, self.method, route);
        }
    }

    /// Whether the response gets the header `traceresponse`.
    pub(super) fn tells_ids(&self) -> bool {
        self.thread.parts.traceresponse && self.thread.parts.spans
    }

    /// The whole body was handed over.
    pub(super) fn complete(&mut self) {
        self.progress = Progress::Complete;
    }

    /// Why the client did not get all of the response, if it did not.
    fn cut(&self) -> Option<&'static str> {
        match self.progress {
            Progress::Handled => Some("the request was cut before it was answered"),
            // A client ends an event stream or a websocket by leaving.
            Progress::Answered if self.is_stream => None,
            Progress::Answered => Some("the response was cut before its end"),
            Progress::Complete => None,
        }
    }

    fn error_type(&self) -> Option<&str> {
        if self.cut().is_some() {
            return Some("cancelled");
        }
        match self.error.as_deref() {
            Some(Recorded::Panic) => Some("panic"),
            Some(Recorded::Known(exception)) => Some(&exception.kind),
            Some(Recorded::Unknown(_)) | None => {
                let status = self.status.as_ref();
                let failed = status.filter(|status| status.is_server_error());
                failed.map(StatusCode::as_str)
            }
        }
    }

    /// Reports the end to metrics and in the access line. The request is over, but what is
    /// recorded of it belongs to its span: exemplars, and the ids of the access line.
    fn report(&self, took: Duration) {
        let _inside = self.attach();
        let cut = self.cut().is_some();
        for metrics in &self.thread.parts.metrics {
            metrics.ended(&Finished {
                method: self.method,
                scheme: self.scheme,
                route: self.route.map(|route| route.pattern),
                status: self.status,
                error_type: self.error_type(),
                protocol_version: self.protocol_version,
                duration: (!self.is_stream).then_some(took),
            });
        }
        if let Some(client) = &self.client
            && let Some(context) = &self.context
            && let Some(request) = context.get::<RequestAttributes>()
        {
            emit::access(&AccessLine {
                method: request.method,
                path: request.path.as_str(),
                status: self.status.map(|status| status.as_u16()),
                duration: took.as_secs_f64(),
                client: client.address.as_deref(),
                user_agent: client.user_agent.as_deref(),
                exception: self.error.as_deref().and_then(Recorded::exception),
                cut,
            });
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.report(began.elapsed());
        }
        if let Some(context) = self.recorded() {
            span::end(context, self.error_type(), self.cut());
        }
        self.thread.open.ended();
    }
}

fn is_event_stream<B: MessageBody>(response: &HttpResponse<B>) -> bool {
    response.body().size() == BodySize::Stream
        && response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// The context in which a request is handled, and whether its span is recorded.
///
/// A span that is active already, because another tracing middleware is around this
/// one, stays so.
fn context(
    thread: &Thread,
    request: &ServiceRequest,
    method: Method,
    route: Option<&'static Route>,
) -> (Option<Context>, bool) {
    let active = Context::map_current(|current| current.has_active_span().then(|| current.clone()));
    let mut context = active.unwrap_or_else(|| propagation::extract(request.headers()));
    let mut is_recorded = false;
    let path = LazyCell::new(|| request::path(request, route));
    if let Some(spans) = &thread.spans {
        let name = span::name(method, route);
        let attributes = || span::attributes(thread, request, method, route, (*path).clone());
        (context, is_recorded) = spans.start(name, attributes, &context);
    }
    if thread.parts.logs {
        context = context.with_value(RequestAttributes::new(method, (*path).clone(), route));
    }
    (Some(context), is_recorded)
}
