//! Sends encoded requests to a collector, over HTTP or gRPC.
//!
//! The exporters of `opentelemetry-otlp` take the SDK's own data alone, and make
//! messages of it before they encode it. This client sends what is encoded already. It
//! keeps their behaviour: headers, timeout, compression and retries.

use std::{io::Read as _, io::Write as _, mem, sync::LazyLock, thread, time::Duration};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use opentelemetry::Context;
use prost::Message as _;
use reqwest::blocking;
use tokio::{
    runtime::{self, Runtime},
    time::timeout,
};

use super::{
    destination::{Compression, Destination, Protocol},
    grpc::Grpc,
    retry::{Failed, Retry, with_backoff},
};

/// Where the gRPC client lives. It needs a runtime that goes on turning while the
/// thread that serves, or shuts down, waits for it.
///
/// Nothing is recorded on it: what is logged during an export would be exported next.
pub(super) static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("telemetry")
        // The scope is never left, since the thread has no other purpose.
        .on_thread_start(|| mem::forget(Context::enter_telemetry_suppressed_scope()))
        .enable_all()
        .build();
    runtime
        .inspect_err(|error| log::warn!("cannot start the thread of the gRPC exporter: {error}"))
        .ok()
});

/// Bytes of an answer that are read at most.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// Sends requests of one signal to a collector.
#[derive(Debug)]
pub(crate) struct Client {
    to: Destination,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Http(blocking::Client),
    Grpc(Box<Grpc>),
}

/// Why a request, or a part of it, was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The collector accepted the others; `None` if it accepted none.
    pub(crate) items: Option<u64>,
    pub(crate) text: String,
}

impl Client {
    /// A client, which connects when it sends; `None` after a warning if there cannot be one.
    pub(crate) fn new(to: Destination) -> Option<Self> {
        let transport = match to.protocol {
            Protocol::HttpProtobuf => http_client(&to).map(Transport::Http),
            Protocol::Grpc => Grpc::new(&to).map(|grpc| Transport::Grpc(Box::new(grpc))),
        };
        let transport = transport
            .inspect_err(|error| {
                log::warn!("{} are not exported to {to}: {error:#}", to.signal.plural());
            })
            .ok()?;
        Some(Self { to, transport })
    }

    /// Where it sends to.
    pub(crate) fn destination(&self) -> &Destination {
        &self.to
    }

    /// Sends a request, an `Export<Signal>ServiceRequest`, and waits for the answer, within
    /// the timeout of the destination. Not inside an async runtime.
    pub(crate) fn send(&self, request: Vec<u8>) -> Result<(), Refused> {
        let answer = match &self.transport {
            Transport::Http(client) => self.post(client, request),
            Transport::Grpc(client) => self.call(client, request.into()),
        };
        let answer = answer.map_err(|text| Refused { items: None, text })?;
        // An answer that cannot be read is a success, as for the SDK.
        let answer = Answer::decode(answer).unwrap_or_default();
        match answer.partial_success {
            Some(PartialSuccess { rejected, message }) if rejected > 0 => Err(Refused {
                items: Some(rejected.unsigned_abs()),
                text: format!(
                    "the collector refused {rejected} {}: {message}",
                    self.to.signal.items()
                ),
            }),
            _ => Ok(()),
        }
    }

    fn post(&self, client: &blocking::Client, request: Vec<u8>) -> Result<Bytes, String> {
        let body = match self.to.compression {
            Some(Compression::Gzip) => gzip(&request).map_err(|error| error.to_string())?,
            None => request,
        };
        let body = Bytes::from(body);
        with_backoff(self.to.timeout, || {
            let mut post = client
                .post(self.to.endpoint.to_string())
                .header(CONTENT_TYPE, "application/x-protobuf")
                .body(body.clone());
            if self.to.compression.is_some() {
                post = post.header(CONTENT_ENCODING, "gzip");
            }
            for (name, value) in &self.to.headers {
                post = post.header(name, value);
            }
            let failed = |error: reqwest::Error| Failed {
                // The URL may hold a secret.
                text: format!("{:#}", anyhow!(error.without_url())),
                retry: Retry::AfterPause,
            };
            let answer = post.send().map_err(failed)?;
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
        })
    }

    fn call(&self, client: &Grpc, request: Bytes) -> Result<Bytes, String> {
        let runtime = RUNTIME.as_ref().ok_or("there is no thread for gRPC")?;
        with_backoff(self.to.timeout, || {
            runtime.block_on(async {
                let call = timeout(self.to.timeout, client.export(request.clone()));
                call.await.unwrap_or_else(|_| {
                    Err(Failed {
                        text: "no answer in time".to_owned(),
                        retry: Retry::AfterPause,
                    })
                })
            })
        })
    }
}

/// An `Export<Signal>ServiceResponse`, which is the same for all signals.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

/// Which answers are worth another attempt:
/// <https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>.
fn retry(answer: &blocking::Response) -> Retry {
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

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// Asks no proxy on the way to this machine, and trusts what the variables name.
fn http_client(to: &Destination) -> anyhow::Result<blocking::Client> {
    let mut client = blocking::Client::builder().timeout(to.timeout);
    if to.is_on_loopback() {
        client = client.no_proxy();
    }
    #[cfg(feature = "tls")]
    if to.endpoint.scheme_str() == Some("https") {
        client = to.tls.http(client)?;
    }
    // A blocking client has a runtime, which cannot be made inside of another one.
    let thread = thread::Builder::new().spawn(|| client.build())?;
    let client = thread.join();
    client
        .map_err(|_| anyhow!("the thread that builds the HTTP client panicked"))?
        .context("cannot build the HTTP client")
}

#[cfg(all(test, feature = "traces"))]
mod tests {
    use super::*;
    use crate::{
        env::Env,
        otlp::{
            Signal,
            testing::{answer, collector},
        },
    };

    fn client(endpoint: &str) -> Client {
        let lookup = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.to_owned()),
            "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=1".to_owned()),
            _ => None,
        };
        Client::new(Destination::read(Env(&lookup), Signal::Traces)).unwrap()
    }

    #[test]
    fn a_busy_collector_is_asked_again_and_what_it_refuses_is_reported() {
        let partial = Answer {
            partial_success: Some(PartialSuccess {
                rejected: 3,
                message: "too old".to_owned(),
            }),
        };
        let (endpoint, served) = collector(vec![
            answer("503 Service Unavailable", b""),
            answer("200 OK", &partial.encode_to_vec()),
        ]);
        let refused = client(&endpoint).send(b"request".to_vec()).unwrap_err();
        assert_eq!(refused.items, Some(3));
        assert_eq!(refused.text, "the collector refused 3 spans: too old");
        for (head, body) in served.join().unwrap() {
            assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
            assert!(
                head.contains("content-type: application/x-protobuf\r\n"),
                "{head}"
            );
            assert!(head.contains("api-key: 1\r\n"), "{head}");
            assert_eq!(body, b"request");
        }
    }

    #[test]
    fn a_request_that_is_wrong_is_not_sent_again() {
        let (endpoint, served) = collector(vec![answer("400 Bad Request", b"s3cret")]);
        let refused = client(&endpoint).send(vec![]).unwrap_err();
        assert_eq!(refused.items, None);
        assert_eq!(refused.text, "HTTP status 400 Bad Request");
        assert_eq!(served.join().unwrap().len(), 1);
    }
}
