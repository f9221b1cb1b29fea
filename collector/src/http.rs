//! OTLP over HTTP with protobuf and JSON bodies, as in the OTLP specification
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
        RETRY_AFTER,
    },
};
use prost::Message;

use crate::{
    Signal,
    body::{self, BodyError},
    cors,
    export::Export,
    intake::{Intake, Unavailable},
};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Answers one request. Every failure becomes a response.
pub(crate) async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    intake: Arc<Intake>,
) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    if let Some(preflight) = cors::preflight(&head.method, &head.headers) {
        return preflight;
    }
    let is_json = media_type(&head.headers).eq_ignore_ascii_case(JSON);
    let taken = async {
        let _slot = intake.admit().await?;
        let signal = route(&head.method, head.uri.path(), &head.headers)?;
        let gzipped = is_gzipped(&head.headers)?;
        let raw = body::read(&mut body, intake.body_limit()).await?;
        let export = decode(signal, raw, gzipped, is_json, intake.body_limit())?;
        Ok::<_, Refusal>((signal, intake.take(export)))
    };
    let mut answer = match taken.await {
        Ok((signal, rejected)) if is_json => {
            response(StatusCode::OK, JSON, rejected.to_json(signal).into())
        }
        Ok((signal, rejected)) => {
            response(StatusCode::OK, PROTOBUF, rejected.encode(signal).into())
        }
        Err(refusal) => {
            intake.refuse(peer, "OTLP/HTTP", &refusal.reason);
            body::discard(&mut body).await;
            refusal.into_response(is_json)
        }
    };
    cors::allow(&head.headers, answer.headers_mut());
    answer
}

/// An error response.
struct Refusal {
    status: StatusCode,
    reason: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            header: None,
        }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    /// The reason as a `google.rpc.Status`, in the encoding of the request.
    fn into_response(self, is_json: bool) -> Response<Full<Bytes>> {
        let status = Status::of(self.status, self.reason);
        let mut response = if is_json {
            response(self.status, JSON, status.to_json().into())
        } else {
            response(self.status, PROTOBUF, status.encode_to_vec().into())
        };
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<BodyError> for Refusal {
    fn from(err: BodyError) -> Self {
        let status = match err {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            // 408 is none of the statuses after which an exporter tries again.
            BodyError::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Broken(_) | BodyError::NotGzip(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, err.to_string())
    }
}

impl From<Unavailable> for Refusal {
    fn from(unavailable: Unavailable) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, unavailable.to_string());
        match unavailable {
            Unavailable::Busy => refusal.with(RETRY_AFTER, "1"),
            // Without Retry-After, clients use their own backoff.
            Unavailable::Fault | Unavailable::Stopping => refusal,
        }
    }
}

/// `google.rpc.Status`, the body that OTLP specifies for every error
/// (<https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto>).
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Status {
    fn of(status: StatusCode, message: String) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => tonic::Code::Unimplemented,
            StatusCode::PAYLOAD_TOO_LARGE => tonic::Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => tonic::Code::Unavailable,
            _ => tonic::Code::InvalidArgument,
        };
        Self {
            code: code.into(),
            message,
        }
    }

    fn to_json(&self) -> String {
        serde_json::json!({ "code": self.code, "message": self.message }).to_string()
    }
}

fn route(method: &Method, path: &str, headers: &HeaderMap) -> Result<Signal, Refusal> {
    let is_grpc = media_type(headers).starts_with("application/grpc");
    let signal = Signal::ALL.into_iter().find(|signal| signal.path() == path);
    match signal {
        _ if is_grpc => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this port accepts OTLP over HTTP, but the request is gRPC; \
             use the collector's gRPC port, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        )),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("no such path: {path}; expected /v1/metrics, /v1/logs or /v1/traces"),
        )),
        Some(signal) if method != Method::POST => Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("the method of {} is {method}, expected POST", signal.path()),
        )
        .with(ALLOW, "POST")),
        Some(signal)
            if [PROTOBUF, JSON].contains(&media_type(headers).to_ascii_lowercase().as_str()) =>
        {
            Ok(signal)
        }
        Some(_) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "the Content-Type is {:?}, but only {PROTOBUF} and {JSON} are accepted; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
                media_type(headers),
            ),
        )),
    }
}

/// The media type without parameters. Empty if there is none.
fn media_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(str::trim)
        .unwrap_or_default()
}

fn is_gzipped(headers: &HeaderMap) -> Result<bool, Refusal> {
    let encoding = headers.get(CONTENT_ENCODING).map(|value| {
        String::from_utf8_lossy(value.as_bytes())
            .trim()
            .to_ascii_lowercase()
    });
    match encoding.as_deref() {
        None | Some("" | "identity") => Ok(false),
        Some("gzip") => Ok(true),
        Some(other) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the Content-Encoding is {other:?}, but only gzip is accepted; set OTEL_EXPORTER_OTLP_COMPRESSION=gzip"),
        )
        .with(ACCEPT_ENCODING, "gzip")),
    }
}

fn decode(
    signal: Signal,
    raw: Bytes,
    gzipped: bool,
    is_json: bool,
    limit: usize,
) -> Result<Export, Refusal> {
    let body = if gzipped {
        body::gunzip(&raw, limit)?.into()
    } else {
        raw
    };
    let decoded = match is_json {
        true => Export::decode_json(signal, &body).map_err(|err| err.to_string()),
        false => Export::decode(signal, &body).map_err(|err| err.to_string()),
    };
    decoded.map_err(|err| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not an OTLP {} request: {err}", signal.name()),
        )
    })
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
