//! Tests of OTLP over HTTP: accepted and refused requests.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use collector::{Collector, Config, Signal};
use prost::Message;
use support::{PROTOBUF, exchange, gzip, num_requests, post, post_with, status_message};

mod support;

fn start() -> Collector {
    Collector::start(Config {
        body_limit: 64 * 1024,
        ..Config::silent()
    })
    .expect("the collector starts")
}

fn assert_took_nothing(collector: &Collector) {
    let received = collector.received();
    assert_eq!(received.data_points(), 0);
    assert_eq!(received.requests(Signal::Metrics), 0);
    assert!(received.refused() > 0);
}

#[test]
fn a_metrics_request_is_accepted_with_an_empty_success_message() {
    let collector = start();
    let body = num_requests("a", (1, 2), 3).encode_to_vec();
    let answer = post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(
        answer.head.contains("content-type: application/x-protobuf"),
        "{}",
        answer.head
    );
    assert_eq!(collector.received().sum("num_requests", &[]), 3.0);
}

#[test]
fn an_empty_request_of_each_signal_is_a_success() {
    let collector = start();
    for path in ["/v1/metrics", "/v1/logs", "/v1/traces"] {
        assert_eq!(post(collector.http_addr(), path, PROTOBUF, b"").status, 200);
    }
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        assert_eq!(collector.received().requests(signal), 1);
    }
}

#[test]
fn a_gzip_body_is_accepted() {
    let collector = start();
    let body = gzip(&num_requests("a", (1, 2), 3).encode_to_vec());
    let headers = format!("Content-Type: {PROTOBUF}; charset=x\r\nContent-Encoding: gzip\r\n");
    assert_eq!(
        post_with(collector.http_addr(), "/v1/metrics", &headers, &body).status,
        200
    );
    assert_eq!(collector.received().sum("num_requests", &[]), 3.0);
}

#[test]
fn a_malformed_body_is_answered_with_400_and_a_status_message() {
    let collector = start();
    let answer = post(
        collector.http_addr(),
        "/v1/metrics",
        PROTOBUF,
        b"\xff\xff\xff",
    );
    assert_eq!(answer.status, 400);
    assert!(
        answer.head.contains("content-type: application/x-protobuf"),
        "{}",
        answer.head
    );
    assert!(status_message(&answer.body).contains("not an OTLP metrics request"));
    assert_took_nothing(&collector);
}

#[test]
fn a_body_that_ends_inside_a_message_is_answered_with_400() {
    let collector = start();
    let mut body = num_requests("a", (1, 2), 3).encode_to_vec();
    body.truncate(body.len() - 5);
    assert_eq!(
        post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body).status,
        400
    );
    assert_took_nothing(&collector);
}

#[test]
fn a_body_shorter_than_its_content_length_is_refused() {
    let collector = start();
    let body = num_requests("a", (1, 2), 3).encode_to_vec();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nHost: test\r\nContent-Type: {PROTOBUF}\r\nContent-Length: {}\r\n\r\n",
        body.len() + 1
    );
    let mut stream = TcpStream::connect(collector.http_addr()).expect("a connection");
    stream.write_all(head.as_bytes()).expect("the head is sent");
    stream.write_all(&body).expect("the body is sent");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("the sending side closes");
    let mut answer = Vec::new();
    // The HTTP library may respond or close the connection.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(collector.received().data_points(), 0);
}

#[test]
fn an_invalid_gzip_body_is_answered_with_400() {
    let collector = start();
    let whole = gzip(&num_requests("a", (1, 2), 3).encode_to_vec());
    let headers = format!("Content-Type: {PROTOBUF}\r\nContent-Encoding: gzip\r\n");
    for body in [&b"not gzip"[..], &whole[..whole.len() - 9]] {
        let answer = post_with(collector.http_addr(), "/v1/metrics", &headers, body);
        assert_eq!(answer.status, 400);
        assert!(status_message(&answer.body).contains("gzip"));
    }
    assert_took_nothing(&collector);
}

#[test]
fn an_oversized_body_is_answered_with_413_even_if_it_is_still_being_sent() {
    let collector = start();
    let answer = post(
        collector.http_addr(),
        "/v1/metrics",
        PROTOBUF,
        &vec![0; 8 * 1024 * 1024],
    );
    assert_eq!(answer.status, 413);
    assert!(status_message(&answer.body).contains("limit of 65536 bytes"));
    assert_took_nothing(&collector);
}

#[test]
fn a_decompression_bomb_is_answered_with_413() {
    let collector = start();
    let bomb = gzip(&vec![0; 10 * 1024 * 1024]);
    assert!(bomb.len() < 64 * 1024, "small when sent: {}", bomb.len());
    let headers = format!("Content-Type: {PROTOBUF}\r\nContent-Encoding: gzip\r\n");
    assert_eq!(
        post_with(collector.http_addr(), "/v1/metrics", &headers, &bomb).status,
        413
    );
    assert_took_nothing(&collector);
}

#[test]
fn another_content_type_is_answered_with_415() {
    let collector = start();
    let plain = post(collector.http_addr(), "/v1/metrics", "text/plain", b"x");
    assert_eq!(plain.status, 415);
    let message = status_message(&plain.body);
    assert!(message.contains("text/plain"), "{message}");
    assert_took_nothing(&collector);
}

#[test]
fn another_content_encoding_is_answered_with_415() {
    let collector = start();
    let headers = format!("Content-Type: {PROTOBUF}\r\nContent-Encoding: zstd\r\n");
    let answer = post_with(collector.http_addr(), "/v1/metrics", &headers, b"x");
    assert_eq!(answer.status, 415);
    assert!(
        answer.head.contains("accept-encoding: gzip"),
        "{}",
        answer.head
    );
    assert_took_nothing(&collector);
}

#[test]
fn another_method_is_answered_with_405_and_another_path_with_404() {
    let collector = start();
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        exchange(collector.http_addr(), request.as_bytes())
    };
    let wrong_method = get("/v1/metrics");
    assert_eq!(wrong_method.status, 405);
    assert!(
        wrong_method.head.contains("allow: post"),
        "{}",
        wrong_method.head
    );
    let wrong_path = get("/metrics");
    assert_eq!(wrong_path.status, 404);
    assert!(status_message(&wrong_path.body).contains("/v1/metrics"));
    assert_took_nothing(&collector);
}

#[test]
fn bytes_that_are_not_http_do_not_affect_other_connections() {
    let collector = start();
    let mut noise = TcpStream::connect(collector.http_addr()).expect("a connection");
    noise
        .write_all(b"\x16\x03\x01 not http \r\n\r\n")
        .expect("noise is sent");
    let body = num_requests("a", (1, 2), 3).encode_to_vec();
    assert_eq!(
        post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body).status,
        200
    );
}

#[test]
fn a_grpc_request_on_the_http_port_is_refused_with_the_right_port() {
    let collector = start();
    let answer = post(collector.http_addr(), "/x", "application/grpc", b"");
    assert_eq!(answer.status, 415);
    assert!(status_message(&answer.body).contains("gRPC port"));
}
