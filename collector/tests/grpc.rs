//! Tests of OTLP over gRPC: accepted and refused requests.

use std::net::SocketAddr;

use bytes::Bytes;
use collector::{
    Collector, Config, Signal,
    proto::collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
};
use http_body_util::Full;
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use support::{PROTOBUF, gzip, num_requests, post};
use tokio::net::TcpStream;
use tonic::{Code, Status, codec::CompressionEncoding};

mod support;

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn start() -> Collector {
    Collector::start(Config {
        body_limit: 64 * 1024,
        ..Config::silent()
    })
    .expect("the collector starts")
}

async fn client(collector: &Collector) -> MetricsServiceClient<tonic::transport::Channel> {
    MetricsServiceClient::connect(format!("http://{}", collector.grpc_addr()))
        .await
        .expect("a connection")
}

/// Sends a gRPC body unchanged.
async fn raw(address: SocketAddr, path: &str, encoding: &str, body: Vec<u8>) -> Status {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    Status::from_header_map(response.headers()).expect("an error in the head")
}

/// A gRPC message with its prefix.
fn framed(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(compressed)];
    frame.extend(
        u32::try_from(message.len())
            .expect("a short message")
            .to_be_bytes(),
    );
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn every_signal_is_accepted() {
    let collector = start();
    let url = format!("http://{}", collector.grpc_addr());
    let mut metrics = client(&collector).await;
    metrics
        .export(num_requests("a", (1, 2), 3))
        .await
        .expect("taken");
    let mut logs = LogsServiceClient::connect(url.clone())
        .await
        .expect("a connection");
    logs.export(ExportLogsServiceRequest::default())
        .await
        .expect("taken");
    let mut traces = TraceServiceClient::connect(url)
        .await
        .expect("a connection");
    traces
        .export(ExportTraceServiceRequest::default())
        .await
        .expect("taken");
    let received = collector.received();
    assert_eq!(received.sum("num_requests", &[]), 3.0);
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        assert_eq!(received.requests(signal), 1);
    }
}

#[tokio::test]
async fn a_gzip_message_is_accepted() {
    let collector = start();
    let mut client = client(&collector)
        .await
        .send_compressed(CompressionEncoding::Gzip);
    client
        .export(num_requests("a", (1, 2), 3))
        .await
        .expect("taken");
    assert_eq!(collector.received().sum("num_requests", &[]), 3.0);
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_an_invalid_argument() {
    let collector = start();
    let mut truncated = num_requests("a", (1, 2), 3).encode_to_vec();
    truncated.truncate(truncated.len() - 5);
    let whole = framed(false, &num_requests("a", (1, 2), 3).encode_to_vec());
    let bodies = [
        framed(false, b"\xff\xff\xff"),
        framed(false, &truncated),
        framed(true, b"not gzip"),
        whole[..whole.len() - 5].to_vec(),
    ];
    for body in bodies {
        let status = raw(collector.grpc_addr(), EXPORT, "gzip", body).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    assert_eq!(collector.received().refused(), 4);
    assert_eq!(collector.received().data_points(), 0);
}

#[tokio::test]
async fn an_oversized_message_gets_a_status_that_clients_do_not_retry() {
    let collector = start();
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![Default::default(); 64 * 1024],
    };
    let status = client(&collector)
        .await
        .export(request)
        .await
        .expect_err("too large");
    // OTLP clients retry OUT_OF_RANGE, tonic's status, but not RESOURCE_EXHAUSTED.
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(collector.received().requests(Signal::Metrics), 0);
}

#[tokio::test]
async fn a_decompression_bomb_is_refused() {
    let collector = start();
    let bomb = framed(true, &gzip(&vec![0; 10 * 1024 * 1024]));
    assert!(bomb.len() < 64 * 1024);
    let status = raw(collector.grpc_addr(), EXPORT, "gzip", bomb).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(collector.received().refused(), 1);
}

#[tokio::test]
async fn another_compression_is_unimplemented() {
    let collector = start();
    let status = raw(collector.grpc_addr(), EXPORT, "zstd", framed(true, b"x")).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(
        status.metadata().contains_key("grpc-accept-encoding") || status.message().contains("zstd")
    );
}

#[tokio::test]
async fn another_service_is_unimplemented() {
    let collector = start();
    let status = raw(
        collector.grpc_addr(),
        "/some.Service/Export",
        "identity",
        framed(false, b""),
    )
    .await;
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

#[test]
fn an_http_request_on_the_grpc_port_is_refused_with_the_right_port() {
    let collector = start();
    let answer = post(collector.grpc_addr(), "/v1/metrics", PROTOBUF, b"");
    assert_eq!(answer.status, 415);
    let body = String::from_utf8(answer.body).expect("text");
    assert!(body.contains("HTTP port"), "{body}");
    assert_eq!(collector.received().refused(), 1);
}
