//! A middleware that makes a span of each request, after the [HTTP semantic
//! conventions].
//!
//! The span lasts until the answer was handed over to be written, body included.
//! However a request ends, its span ends with it and says how.
//!
//! [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{StatusCode, Version, header::USER_AGENT},
    rt::time::sleep,
    web::Bytes,
};
use common::measure::Method;
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    global::BoxedTracer,
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE, NETWORK_PROTOCOL_VERSION, URL_PATH, URL_SCHEME,
    USER_AGENT_ORIGINAL,
};
use pin_project_lite::pin_project;

use crate::{propagation, response_header, telemetry};

/// The longest text from a client that a span repeats, in characters.
const LENGTH_LIMIT: usize = 256;

/// How long the last spans are waited for. Less than what a worker gets whose master
/// was killed.
const PATIENCE: Duration = Duration::from_millis(100);

/// Requests whose span has not ended.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Waits until the span of every request has ended. Requests that are cut by a quick
/// stop end on other threads, a moment after serving has ended.
pub(crate) async fn all_ended() {
    let began = Instant::now();
    while OPEN.load(SeqCst) > 0 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The middleware. Register it last, which makes it the outermost.
#[derive(Clone, Copy)]
pub(crate) struct ServerSpans {
    /// Whether the client is told the ids.
    pub(crate) traceresponse: bool,
}

impl<S, B> Transform<S, ServiceRequest> for ServerSpans
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Transform = ServerSpansService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(ServerSpansService {
            service,
            tracer: Rc::new(telemetry::tracer()),
            traceresponse: self.traceresponse,
        }))
    }
}

/// The service that [`ServerSpans`] makes.
pub(crate) struct ServerSpansService<S> {
    service: S,
    tracer: Rc<BoxedTracer>,
    traceresponse: bool,
}

impl<S, B> Service<ServiceRequest> for ServerSpansService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let mut open = Open::begin(start(&self.tracer, &request));
        let call = {
            // Middlewares inside of this one may do something before their future is
            // polled.
            let _inside = open.context.clone().attach();
            self.service.call(request)
        };
        let call = call.with_context(open.context.clone());
        let traceresponse = self.traceresponse;
        Box::pin(async move {
            let mut result = call.await;
            open.answer(match &result {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            });
            if traceresponse {
                result = response_header::add(result, &open.context);
            }
            match result {
                Ok(response) => Ok(response.map_body(|_, body| SpanBody::new(body, open))),
                Err(error) => {
                    // The body that it becomes further out is a short text.
                    open.complete();
                    Err(error)
                }
            }
        })
    }
}

/// Starts the span of a request in the context that its caller sent.
fn start(tracer: &BoxedTracer, request: &ServiceRequest) -> Context {
    let caller = propagation::extract(request.headers());
    let method = Method::from(request.method());
    let route = request.match_pattern();
    // A name must not be what a client makes up, so a path is in none.
    let verb = match method {
        Method::Other => "HTTP",
        known => known.as_str(),
    };
    let name = match &route {
        Some(route) => format!("{verb} {route}").into(),
        None => verb.into(),
    };
    let mut builder = tracer.span_builder::<std::borrow::Cow<'static, str>>(name);
    builder.span_kind = Some(SpanKind::Server);
    builder.attributes = Some(attributes(request, method, route));
    let span = tracer.build_with_context(builder, &caller);
    caller.with_span(span)
}

/// What the conventions want to know of a request, at its start, so that a sampler
/// can decide on it. The query is left out, since it may hold secrets, and so is
/// everything that comes from the `Host` header, which is whatever a client says.
fn attributes(request: &ServiceRequest, method: Method, route: Option<String>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(10);
    let mut add = |name, value: opentelemetry::Value| attributes.push(KeyValue::new(name, value));
    add(HTTP_REQUEST_METHOD, method.as_str().into());
    if method == Method::Other {
        let original = bounded(request.method().as_str());
        add(HTTP_REQUEST_METHOD_ORIGINAL, original.into());
    }
    if let Some(route) = route {
        add(HTTP_ROUTE, route.into());
    }
    add(URL_PATH, bounded(request.path()).into());
    add(URL_SCHEME, "http".into());
    if let Some(version) = version(request.version()) {
        add(NETWORK_PROTOCOL_VERSION, version.into());
    }
    if let Some(peer) = request.peer_addr() {
        add(CLIENT_ADDRESS, peer.ip().to_string().into());
    }
    if let Some(agent) = request.headers().get(USER_AGENT) {
        let agent = String::from_utf8_lossy(agent.as_bytes());
        add(USER_AGENT_ORIGINAL, bounded(&agent).into());
    }
    attributes
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

/// A text from the client, not longer than what a span repeats.
fn bounded(text: &str) -> String {
    match text.char_indices().nth(LENGTH_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The span of a request that has begun. However the request ends, this is dropped,
/// and the span ended then.
struct Open {
    context: Context,
    progress: Progress,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Handled,
    /// The head of the answer is there, and the body has not come to its end.
    Answered,
    Complete,
}

impl Open {
    fn begin(context: Context) -> Self {
        OPEN.fetch_add(1, SeqCst);
        Self {
            context,
            progress: Progress::Handled,
        }
    }

    /// A status of 5xx makes the span an error, without a description, since the
    /// status says it all. One of 4xx is the client's error and none of the server's.
    fn answer(&mut self, status: StatusCode) {
        self.progress = Progress::Answered;
        let span = self.context.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new(HTTP_RESPONSE_STATUS_CODE, code));
        if status.is_server_error() {
            span.set_attribute(KeyValue::new(ERROR_TYPE, status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// Ends the span of an answer whose body is somebody else's.
    fn complete(mut self) {
        self.progress = Progress::Complete;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let span = self.context.span();
        let cut = match self.progress {
            Progress::Handled => Some("the request was cut before it was answered"),
            Progress::Answered => Some("the answer was cut before its end"),
            Progress::Complete => None,
        };
        if let Some(description) = cut {
            span.set_attribute(KeyValue::new(ERROR_TYPE, "cancelled"));
            span.set_status(Status::error(description));
        }
        span.end();
        OPEN.fetch_sub(1, SeqCst);
    }
}

pin_project! {
    /// A body that is made in the context of its request, and whose end is that of
    /// the request's span.
    pub(crate) struct SpanBody<B> {
        #[pin]
        body: B,
        open: Open,
        // Bytes that are still to come, if their number is known.
        left: Option<u64>,
    }
}

impl<B: MessageBody> SpanBody<B> {
    fn new(body: B, mut open: Open) -> Self {
        let left = match body.size() {
            BodySize::None => Some(0),
            BodySize::Sized(size) => Some(size),
            BodySize::Stream => None,
        };
        // Nobody asks for the bytes of an empty body.
        if left == Some(0) {
            open.progress = Progress::Complete;
        }
        Self { body, open, left }
    }
}

impl<B: MessageBody> MessageBody for SpanBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.project();
        let _inside = this.open.context.clone().attach();
        let poll = this.body.poll_next(task);
        match &poll {
            Poll::Ready(Some(Ok(bytes))) => {
                *this.left = this
                    .left
                    .map(|left| left.saturating_sub(bytes.len() as u64));
                if *this.left == Some(0) {
                    this.open.progress = Progress::Complete;
                }
            }
            Poll::Ready(None) => this.open.progress = Progress::Complete,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let cut = bounded(&"ö".repeat(1_000));
        assert_eq!(cut, format!("{}…", "ö".repeat(LENGTH_LIMIT)));
    }
}
