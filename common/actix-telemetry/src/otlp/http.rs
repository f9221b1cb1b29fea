//! Posts of encoded requests to a collector.

use std::{
    io::{self, Read as _, Write as _},
    time::Duration,
};

use anyhow::anyhow;
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use reqwest::blocking::{Client, Response};

use super::{
    destination::{Compression, Destination},
    retry::{Failed, Retry},
};

/// Bytes of an answer that are read at most.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// The body of a request.
pub(super) fn body(to: &Destination, request: Vec<u8>) -> io::Result<Bytes> {
    Ok(match to.compression {
        Some(Compression::Gzip) => {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(&request)?;
            gzip.finish()?
        }
        None => request,
    }
    .into())
}

/// Posts a body that [`body`] made, and returns that of the answer.
pub(super) fn post(client: &Client, to: &Destination, body: Bytes) -> Result<Bytes, Failed> {
    let mut post = client
        .post(to.endpoint.to_string())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(body);
    if to.compression.is_some() {
        post = post.header(CONTENT_ENCODING, "gzip");
    }
    for (name, value) in &to.headers {
        post = post.header(name, value);
    }
    let answer = post.send().map_err(|error| Failed {
        // The URL may hold a secret.
        text: format!("{:#}", anyhow!(error.without_url())),
        retry: Retry::AfterPause,
    })?;
    if !answer.status().is_success() {
        return Err(Failed {
            text: format!("HTTP status {}", answer.status()),
            retry: retry(&answer),
        });
    }
    let mut bytes = Vec::new();
    let read = answer.take(LONGEST_ANSWER).read_to_end(&mut bytes);
    read.map_err(|error| Failed {
        text: format!("no answer: {error}"),
        retry: Retry::AfterPause,
    })?;
    Ok(bytes.into())
}

/// Which answers are worth another attempt:
/// <https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>.
fn retry(answer: &Response) -> Retry {
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let value = answer.headers().get(RETRY_AFTER);
            let value = value.and_then(|value| value.to_str().ok());
            value
                .and_then(retry_after)
                .map_or(Retry::AfterPause, Retry::AfterThrottle)
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Retry::AfterPause,
        _ => Retry::Never,
    }
}

/// Parses `Retry-After`: seconds or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(
        date.elapsed()
            .map_or_else(|early| early.duration(), |_| Duration::ZERO),
    )
}
