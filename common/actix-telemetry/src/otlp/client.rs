//! Sends encoded requests to a collector, over HTTP or gRPC.
//!
//! The exporters of `opentelemetry-otlp` take the SDK's own data alone, and make
//! messages of it before they encode it. This client sends what is encoded already. It
//! keeps their behaviour: headers, timeout, compression and retries.

use std::fmt;

use prost::Message as _;
use reqwest::blocking;

use super::{
    connect::http_client,
    destination::{Destination, Protocol},
    grpc::Grpc,
    http,
    retry::with_backoff,
};

/// Sends requests of one signal to a collector.
pub(crate) struct Client {
    to: Destination,
    transport: Transport,
}

/// Without the headers, which are secret.
impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Client({})", self.to)
    }
}

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
            Transport::Http(client) => http::body(&self.to, request)
                .map_err(|error| error.to_string())
                .and_then(|body| {
                    let post = || http::post(client, &self.to, body.clone());
                    with_backoff(self.to.timeout, post)
                }),
            Transport::Grpc(grpc) => {
                let request = bytes::Bytes::from(request);
                let call = || grpc.export(request.clone(), self.to.timeout);
                with_backoff(self.to.timeout, call)
            }
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
    fn the_debug_output_has_no_headers() {
        let client = client("http://127.0.0.1:9");
        assert_eq!(
            format!("{client:?}"),
            "Client(http://127.0.0.1:9 (http/protobuf))"
        );
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
