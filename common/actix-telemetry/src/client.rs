//! Outgoing calls with `reqwest`, each with a span after the [HTTP semantic
//! conventions] and the context sent along.
//!
//! [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client

use std::{
    error::Error as _,
    io,
    pin::Pin,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    context::FutureExt as _,
    global,
    trace::{SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_semantic_conventions::attribute::{
    ERROR_TYPE, HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_RESPONSE_STATUS_CODE,
    NETWORK_PROTOCOL_VERSION, SERVER_ADDRESS, SERVER_PORT, URL_FULL,
};
use reqwest::{Body, Client, Request, Response, ResponseBuilderExt as _, StatusCode, Url, Version};

use crate::{
    observe::Method,
    propagation,
    query::{REDACTED, redacted},
};

/// Sends a request in a client span below the current context.
///
/// The span ends when the body of the response was read or dropped, or when the call
/// is given up. A response of 4xx or 5xx makes it an error, and so does one that
/// breaks off. A call that is given up is none.
///
/// ```no_run
/// # async fn quote() -> Result<String, reqwest::Error> {
/// let client = reqwest::Client::new();
/// let request = client.get("http://localhost:8080/quote").build()?;
/// let response = actix_telemetry::client::send(&client, request).await?;
/// response.error_for_status()?.text().await
/// # }
/// ```
///
/// # Errors
///
/// Those of [`Client::execute`].
pub async fn send(client: &Client, mut request: Request) -> reqwest::Result<Response> {
    let call = Call::begin(&request);
    propagation::inject(&call.context, request.headers_mut());
    let sent = client.execute(request).with_context(call.context.clone());
    match sent.await {
        Ok(response) => Ok(call.answered(response)),
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}

/// Parses a flag that names another service, for `value_parser` of clap. TLS would be a
/// feature of reqwest.
///
/// ```
/// use actix_telemetry::client::http_url;
///
/// assert!(http_url("http://localhost:5101/chain").is_ok());
/// for bad in ["localhost:5101", "https://host/", "/chain", "http://", "a b"] {
///     let error = http_url(bad).unwrap_err();
///     assert!(error.contains("http://host:port/path"), "{bad}: {error}");
/// }
/// ```
///
/// # Errors
///
/// Says what is allowed if `text` is something else.
pub fn http_url(text: &str) -> Result<Url, String> {
    let allowed = "a URL like http://host:port/path is allowed";
    let url: Url = text
        .parse()
        .map_err(|error| format!("{allowed} ({error})"))?;
    match url.scheme() == "http" && url.has_host() {
        true => Ok(url),
        false => Err(allowed.to_owned()),
    }
}

/// The span of a call, which ends when this is dropped.
struct Call {
    context: Context,
}

impl Call {
    fn begin(request: &Request) -> Self {
        let method = Method::from_name(request.method().as_str());
        let url = request.url();
        let mut attributes = vec![
            KeyValue::new(HTTP_REQUEST_METHOD, method.as_str()),
            KeyValue::new(URL_FULL, without_secrets(url).to_string()),
        ];
        if method == Method::Other {
            let original = request.method().to_string();
            attributes.push(KeyValue::new(HTTP_REQUEST_METHOD_ORIGINAL, original));
        }
        if let Some(host) = url.host_str() {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            attributes.push(KeyValue::new(SERVER_ADDRESS, host.to_owned()));
        }
        if let Some(port) = url.port_or_known_default() {
            attributes.push(KeyValue::new(SERVER_PORT, i64::from(port)));
        }
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = global::tracer_with_scope(scope);
        // A name may have the template of the path, which is not known here.
        let mut builder = tracer.span_builder(match method {
            Method::Other => "HTTP",
            known => known.as_str(),
        });
        builder.span_kind = Some(SpanKind::Client);
        builder.attributes = Some(attributes);
        let caller = Context::current();
        let span = tracer.build_with_context(builder, &caller);
        Self {
            context: caller.with_span(span),
        }
    }

    fn answered(self, response: Response) -> Response {
        let status = response.status();
        let span = self.context.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new(HTTP_RESPONSE_STATUS_CODE, code));
        let version = match response.version() {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        };
        span.set_attribute(KeyValue::new(NETWORK_PROTOCOL_VERSION, version));
        if is_failure(status) {
            span.set_attribute(KeyValue::new(ERROR_TYPE, status.as_str().to_owned()));
            // The status code says it all, so there is no description.
            span.set_status(Status::error(""));
        }
        let url = response.url().clone();
        let (parts, body) = http::Response::<Body>::from(response).into_parts();
        let body = Body::wrap(WatchedBody { body, call: self });
        let mut watched = http::Response::builder().url(url);
        watched = watched.status(parts.status).version(parts.version);
        if let Some(headers) = watched.headers_mut() {
            *headers = parts.headers;
        }
        match watched.body(body) {
            Ok(response) => response.into(),
            Err(_) => unreachable!("the parts are those of a response"),
        }
    }

    fn failed(&self, error: &reqwest::Error) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new(ERROR_TYPE, error_type(error)));
        // What the error itself prints has the URL, and secrets may be in that.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        let description = cause.map(ToString::to_string).unwrap_or_default();
        span.set_status(Status::error(description));
    }
}

/// A call that its caller gave up is no error, as the conventions have it.
impl Drop for Call {
    fn drop(&mut self) {
        self.context.span().end();
    }
}

/// The body of a response, whose end is that of the call.
struct WatchedBody {
    body: Body,
    call: Call,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        let _inside = self.call.context.clone().attach();
        let poll = Pin::new(&mut self.body).poll_frame(task);
        if let Poll::Ready(Some(Err(error))) = &poll {
            self.call.failed(error);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A redirect that is not followed is what the caller wanted.
fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// One of a few words, as the conventions demand, and no text that differs from one
/// error to the next.
fn error_type(error: &reqwest::Error) -> &'static str {
    let mut cause = error.source();
    while let Some(found) = cause {
        // What hyper's connector calls it. `reqwest::Error::is_dns` needs 0.13.5.
        if found.to_string() == "dns error" {
            return "name_not_resolved";
        }
        if let Some(error) = found.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => return "connection_refused",
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    return "connection_reset";
                }
                io::ErrorKind::TimedOut => return "timeout",
                _ => {}
            }
        }
        cause = found.source();
    }
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connection_failed"
    } else if error.is_body() || error.is_decode() {
        "incomplete_response"
    } else if error.is_request() {
        "bad_response"
    } else {
        "_OTHER"
    }
}

/// The URL as it may be recorded, without credentials.
fn without_secrets(url: &Url) -> Url {
    let mut shown = url.clone();
    if !shown.username().is_empty() {
        let _ = shown.set_username(REDACTED);
    }
    if shown.password().is_some() {
        let _ = shown.set_password(Some(REDACTED));
    }
    if let Some(query) = url.query() {
        shown.set_query(Some(&redacted(query)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_url_has_no_credentials_and_no_known_secrets() {
        for (url, shown) in [
            ("http://a:b@h/p?x=1", "http://REDACTED:REDACTED@h/p?x=1"),
            ("http://h/p?sig=abc&y=2", "http://h/p?sig=REDACTED&y=2"),
            (
                "http://h/p?X-Amz-Signature=a&x-amz-signature=b&X-Amz-Credential=%2f#f",
                "http://h/p?X-Amz-Signature=REDACTED&x-amz-signature=b&X-Amz-Credential=REDACTED#f",
            ),
            ("http://h/", "http://h/"),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(without_secrets(&url).as_str(), shown);
        }
    }
}
