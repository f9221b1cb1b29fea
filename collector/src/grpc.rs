//! OTLP over gRPC: the three services, with errors as the gRPC statuses that OTLP specifies
//! (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>).

use std::{net::SocketAddr, sync::Arc};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::time::timeout;
use tonic::{
    Code, Status,
    body::Body,
    codec::CompressionEncoding::Gzip,
    codegen::{Service, async_trait},
    server::NamedService,
};

use crate::{
    body::{self, BODY_TIMEOUT},
    export::Export,
    intake::{Intake, Unavailable},
};

/// Answers one call. Every failure becomes a response.
pub(crate) async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    intake: Arc<Intake>,
) -> Response<Body> {
    let is_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        return not_grpc(request, peer, &intake).await;
    }
    let response = match intake.admit().await {
        Ok(_slot) => timeout(BODY_TIMEOUT, dispatch(request, &intake))
            .await
            .unwrap_or_else(|_| {
                let reason = format!("the call did not complete within {BODY_TIMEOUT:?}");
                Status::deadline_exceeded(reason).into_http()
            }),
        Err(unavailable) => Status::from(unavailable).into_http(),
    };
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => {
            let status = as_otlp_names_it(&status);
            intake.refuse(peer, "OTLP/gRPC", &status.message());
            status.into_http()
        }
        _ => response,
    }
}

/// gRPC answers other content types with HTTP 415
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
async fn not_grpc(request: Request<Incoming>, peer: SocketAddr, intake: &Intake) -> Response<Body> {
    const REASON: &str = "this port accepts OTLP over gRPC, but the request is not gRPC; \
        use the collector's HTTP port, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc";
    intake.refuse(peer, "OTLP/gRPC", &REASON);
    body::discard(&mut request.into_body()).await;
    let mut response = Response::new(Body::new(http_body_util::Full::from(REASON)));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

async fn dispatch(request: Request<Incoming>, intake: &Arc<Intake>) -> Response<Body> {
    /// The generated server of one service, with gzip and the body limit.
    macro_rules! serve {
        ($server:ident) => {
            $server::new(Receiver(Arc::clone(intake)))
                .accept_compressed(Gzip)
                .max_decoding_message_size(intake.body_limit())
                .call(request)
                .await
        };
    }
    let service = request
        .uri()
        .path()
        .trim_start_matches('/')
        .split('/')
        .next();
    let Ok(response) = match service.unwrap_or_default() {
        MetricsServiceServer::<Receiver>::NAME => serve!(MetricsServiceServer),
        LogsServiceServer::<Receiver>::NAME => serve!(LogsServiceServer),
        TraceServiceServer::<Receiver>::NAME => serve!(TraceServiceServer),
        unknown => Ok(Status::unimplemented(format!(
            "no such service: {unknown}; expected one of the OTLP services for metrics, logs and traces"
        ))
        .into_http()),
    };
    response
}

/// Maps tonic's statuses to those of OTLP. OTLP clients retry `OUT_OF_RANGE`, so an oversized message
/// becomes `RESOURCE_EXHAUSTED`. A body that cannot be decoded becomes `INVALID_ARGUMENT`.
fn as_otlp_names_it(status: &Status) -> Status {
    /// tonic's message when decompression exceeds the limit.
    const BOMB: &str = "failed to write whole buffer";
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(format!(
            "{}; export more often or in smaller batches",
            status.message()
        )),
        Code::Internal if status.message().contains(BOMB) => Status::resource_exhausted(
            "the decompressed message is larger than the limit; export more often or in smaller batches",
        ),
        Code::Internal => Status::invalid_argument(format!(
            "the message is not an OTLP request: {}",
            status.message()
        )),
        code => Status::new(code, status.message()),
    }
}

impl From<Unavailable> for Status {
    fn from(unavailable: Unavailable) -> Self {
        Self::unavailable(unavailable.to_string())
    }
}

/// The three services.
struct Receiver(Arc<Intake>);

#[async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let rejected = self.0.take(Export::Metrics(request.into_inner()));
        Ok(tonic::Response::new(rejected.metrics()))
    }
}

#[async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.0.take(Export::Logs(request.into_inner()));
        Ok(tonic::Response::new(Default::default()))
    }
}

#[async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let rejected = self.0.take(Export::Traces(request.into_inner()));
        Ok(tonic::Response::new(rejected.traces()))
    }
}
