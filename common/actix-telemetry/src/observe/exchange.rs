//! A request from its arrival to the end of its response. However it ends, the
//! exchange is dropped, and reports the end then: one report for all signals.

use std::{rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    Error, HttpResponse,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CONTENT_TYPE, USER_AGENT},
    },
};
use opentelemetry::{Context, trace::TraceContextExt as _};

use super::{
    errors::{self, Recorded},
    finished::Finished,
    method::Method,
    open,
    parts::Thread,
    request::{RequestAttributes, bounded, protocol_version},
    scheme::Scheme,
    span,
};
use crate::{
    emit::{self, AccessLine},
    propagation,
};

pub(super) struct Exchange {
    thread: Rc<Thread>,
    began: Instant,
    method: Method,
    scheme: Scheme,
    protocol_version: Option<&'static str>,
    route: Option<Arc<str>>,
    /// Where a signal needs it: request attributes, and the span or its caller's.
    pub(super) context: Option<Context>,
    client: Option<Box<Client>>,
    status: Option<StatusCode>,
    error: Option<Box<Recorded>>,
    progress: Progress,
    /// An upgrade or an event stream, whose life is no latency.
    is_stream: bool,
}

/// Who asked, for the access line.
struct Client {
    address: Option<String>,
    user_agent: Option<String>,
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
        open::began();
        let parts = &thread.parts;
        let method = Method::from(request.method());
        let scheme = Scheme::of(request);
        for metrics in &parts.metrics {
            metrics.began(method, scheme);
        }
        let route = thread.route(request);
        Self {
            context: (parts.spans || parts.logs)
                .then(|| context(thread, request, method, route.as_ref())),
            client: parts.logs.then(|| Box::new(Client::of(request))),
            thread: thread.clone(),
            began: Instant::now(),
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

    /// Records the error of a handler, whatever becomes of the response further out.
    pub(super) fn failed(&mut self, error: Box<Recorded>) {
        if self.thread.parts.spans
            && let (Some(context), Some(exception)) = (&self.context, error.exception())
        {
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
                if self.route.is_none() {
                    self.routed(response.request().match_pattern());
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
        if self.thread.parts.spans
            && let Some(context) = &self.context
        {
            span::answered(context, status);
        }
        let has_no_body = status.is_informational()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if has_no_body && !self.is_stream || self.method == Method::Head || result.is_err() {
            // The body that an error becomes further out is a short text.
            self.complete();
        }
    }

    fn routed(&mut self, route: Option<String>) {
        self.route = route.map(Arc::from);
        if self.thread.parts.spans
            && let (Some(context), Some(route)) = (&self.context, &self.route)
        {
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
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let parts = &self.thread.parts;
        let took = self.began.elapsed();
        let (cut, error_type) = (self.cut(), self.error_type());
        // The request is over, but what is recorded of it belongs to its span: exemplars of the
        // metrics, and the ids of the access line.
        let inside = self.context.clone().map(Context::attach);
        for metrics in &parts.metrics {
            metrics.ended(&Finished {
                method: self.method,
                scheme: self.scheme,
                route: self.route.as_deref(),
                status: self.status,
                error_type,
                protocol_version: self.protocol_version,
                duration: (!self.is_stream).then_some(took),
            });
        }
        if let Some(context) = &self.context {
            if let Some(client) = &self.client
                && let Some(request) = context.get::<RequestAttributes>()
            {
                emit::access(&AccessLine {
                    method: request.method,
                    path: &request.path,
                    status: self.status.map(|status| status.as_u16()),
                    duration: took.as_secs_f64(),
                    client: client.address.as_deref(),
                    user_agent: client.user_agent.as_deref(),
                    exception: self.error.as_deref().and_then(Recorded::exception),
                    cut: cut.is_some(),
                });
            }
            drop(inside);
            if parts.spans {
                span::end(context, error_type, cut);
            }
        }
        open::ended();
    }
}

fn is_event_stream<B: MessageBody>(response: &HttpResponse<B>) -> bool {
    response.body().size() == BodySize::Stream
        && response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// The context in which a request is handled.
///
/// A span that is active already, because another tracing middleware is around this
/// one, stays so.
fn context(
    thread: &Thread,
    request: &ServiceRequest,
    method: Method,
    route: Option<&Arc<str>>,
) -> Context {
    let current = Context::current();
    let caller = if current.has_active_span() {
        current
    } else {
        propagation::extract(request.headers())
    };
    let context = match &thread.tracer {
        Some(tracer) => span::start(tracer, request, method, route, caller),
        None => caller,
    };
    match thread.parts.logs {
        true => context.with_value(RequestAttributes::of(request, method, route.cloned())),
        false => context,
    }
}

impl Client {
    fn of(request: &ServiceRequest) -> Self {
        let user_agent = request.headers().get(USER_AGENT);
        Self {
            address: request.peer_addr().map(|peer| peer.ip().to_string()),
            user_agent: user_agent.map(|value| bounded(&String::from_utf8_lossy(value.as_bytes()))),
        }
    }
}
