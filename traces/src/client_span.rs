//! A call to another service, with a span after the [HTTP semantic conventions] and
//! the context sent along.
//!
//! [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client

use std::{io, time::Duration};

use actix_web::{
    http::{StatusCode, Uri},
    rt::time::timeout,
    web::Bytes,
};
use awc::{
    Client, ClientRequest,
    error::{ConnectError, PayloadError, SendRequestError},
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    global::BoxedTracer,
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, SERVER_ADDRESS, SERVER_PORT,
    URL_FULL,
};

use crate::propagation;

/// What a call may take, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is taken, in bytes.
const ANSWER_LIMIT: usize = 64 * 1024;

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Send(SendRequestError),
    #[error("the answer broke off: {0}")]
    Body(PayloadError),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// A client that follows no redirects: where a call goes is up to the caller.
pub(crate) fn client() -> Client {
    Client::builder()
        .disable_redirects()
        .disable_timeout()
        .finish()
}

/// Asks for a URL on a connection of its own, within 5 seconds.
///
/// # Errors
///
/// If there is no answer of 2xx, or one that is longer than 64 KiB. The span says
/// the same.
pub(crate) async fn get(
    tracer: &BoxedTracer,
    client: &Client,
    url: &Uri,
) -> Result<Bytes, CallError> {
    let mut call = Call::begin(tracer, url);
    let mut request = client.get(url).force_close();
    propagation::inject(&call.context, request.headers_mut());
    let exchange = exchange(request, &call.context);
    let exchange = exchange.with_context(call.context.clone());
    let result = timeout(TIMEOUT, exchange).await;
    let result = result.unwrap_or(Err(CallError::Timeout));
    call.finish(&result);
    result
}

async fn exchange(request: ClientRequest, context: &Context) -> Result<Bytes, CallError> {
    let mut response = request.send().await.map_err(CallError::Send)?;
    let status = response.status();
    let code = i64::from(status.as_u16());
    let code = KeyValue::new(HTTP_RESPONSE_STATUS_CODE, code);
    context.span().set_attribute(code);
    let body = response.body().limit(ANSWER_LIMIT);
    let body = body.await.map_err(CallError::Body)?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(CallError::Status(status))
    }
}

/// The span of a call that has begun. If the call is given up, because the request
/// that wanted it is, the span ends and says so.
struct Call {
    context: Context,
    finished: bool,
}

impl Call {
    fn begin(tracer: &BoxedTracer, url: &Uri) -> Self {
        let mut attributes = vec![
            KeyValue::new(HTTP_REQUEST_METHOD, "GET"),
            KeyValue::new(URL_FULL, url.to_string()),
            KeyValue::new(SERVER_PORT, i64::from(url.port_u16().unwrap_or(80))),
        ];
        if let Some(host) = url.host() {
            attributes.push(KeyValue::new(SERVER_ADDRESS, host.to_owned()));
        }
        // Only a template of the path might be in the name, and nobody knows one.
        let mut builder = tracer.span_builder("GET");
        builder.span_kind = Some(SpanKind::Client);
        builder.attributes = Some(attributes);
        let caller = Context::current();
        let span = tracer.build_with_context(builder, &caller);
        Self {
            context: caller.with_span(span),
            finished: false,
        }
    }

    fn finish(&mut self, result: &Result<Bytes, CallError>) {
        self.finished = true;
        let Err(error) = result else {
            return;
        };
        let span = self.context.span();
        span.set_attribute(KeyValue::new(ERROR_TYPE, error_type(error)));
        // A status code speaks for itself.
        let description = match error {
            CallError::Status(_) => String::new(),
            error => error.to_string(),
        };
        span.set_status(Status::error(description));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let span = self.context.span();
        if !self.finished {
            span.set_attribute(KeyValue::new(ERROR_TYPE, "cancelled"));
            span.set_status(Status::error("the call was given up before its end"));
        }
        span.end();
    }
}

/// One of a few words, as the conventions demand, and no text that differs from one
/// error to the next.
fn error_type(error: &CallError) -> String {
    let word = match error {
        CallError::Status(status) => status.as_str(),
        CallError::Timeout
        | CallError::Send(
            SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout),
        ) => "timeout",
        CallError::Send(SendRequestError::Connect(ConnectError::Io(error))) => word_of(error),
        CallError::Send(SendRequestError::Connect(
            ConnectError::Resolver(_) | ConnectError::NoRecords | ConnectError::Unresolved,
        )) => "name_not_resolved",
        CallError::Send(SendRequestError::Send(error)) => word_of(error),
        CallError::Send(SendRequestError::Response(_)) => "bad_response",
        CallError::Body(PayloadError::Overflow) => "response_too_long",
        CallError::Body(_) => "incomplete_response",
        CallError::Send(_) => "_OTHER",
    };
    word.to_owned()
}

fn word_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection_refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection_reset",
        io::ErrorKind::TimedOut => "timeout",
        _ => "_OTHER",
    }
}
