//! Tests of simulated failures, start and stop.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use collector::{
    Collector, Config, EmbedOptions, Error, Fault, Signal,
    proto::collector::metrics::v1::metrics_service_client::MetricsServiceClient,
};
use prost::Message;
use support::{PROTOBUF, num_requests, post, status_message, until};
use tonic::Code;

mod support;

fn start() -> Collector {
    Collector::start(Config::silent()).expect("the collector starts")
}

fn push(address: SocketAddr) -> support::Answer {
    let body = num_requests("a", (1, 2), 3).encode_to_vec();
    post(address, "/v1/metrics", PROTOBUF, &body)
}

#[test]
fn unavailable_is_503_over_http_until_it_is_lifted() {
    let collector = start();
    collector.set_fault(Fault::Unavailable);
    let answer = push(collector.http_addr());
    assert_eq!(answer.status, 503);
    assert!(status_message(&answer.body).contains("simulates an outage"));
    assert_eq!(collector.received().data_points(), 0);
    collector.set_fault(Fault::None);
    assert_eq!(push(collector.http_addr()).status, 200);
    assert_eq!(collector.received().sum("num_requests", &[]), 3.0);
}

#[tokio::test]
async fn the_unavailable_fault_is_status_unavailable_over_grpc() {
    let collector = start();
    collector.set_fault(Fault::Unavailable);
    let mut client = MetricsServiceClient::connect(format!("http://{}", collector.grpc_addr()))
        .await
        .expect("a connection");
    let status = client
        .export(num_requests("a", (1, 2), 3))
        .await
        .expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable);
    collector.set_fault(Fault::None);
    client
        .export(num_requests("a", (1, 2), 3))
        .await
        .expect("taken");
}

#[test]
fn a_hang_answers_no_request_until_it_is_lifted() {
    let collector = start();
    collector.set_fault(Fault::Hang);
    let address = collector.http_addr();
    let hanging = [0; 2].map(|_| thread::spawn(move || push(address).status));
    until("both requests hang", || collector.received().held() == 2);
    assert_eq!(collector.received().requests(Signal::Metrics), 0);
    collector.set_fault(Fault::None);
    for hanging in hanging {
        assert_eq!(hanging.join().expect("an answer"), 200);
    }
    assert_eq!(collector.received().requests(Signal::Metrics), 2);
}

#[test]
fn a_client_that_gives_up_during_a_hang_is_not_counted() {
    let collector = start();
    collector.set_fault(Fault::Hang);
    let mut client = TcpStream::connect(collector.http_addr()).expect("a connection");
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nHost: t\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 0\r\n\r\n"
    );
    io::Write::write_all(&mut client, head.as_bytes()).expect("the request is sent");
    until("the request hangs", || collector.received().held() == 1);
    drop(client);
    until("the request is gone", || collector.received().held() == 0);
    collector.set_fault(Fault::None);
    assert_eq!(push(collector.http_addr()).status, 200);
    assert_eq!(collector.received().requests(Signal::Metrics), 1);
}

#[test]
fn stopping_answers_the_requests_that_a_hang_holds() {
    let collector = start();
    collector.set_fault(Fault::Hang);
    let address = collector.http_addr();
    let hanging = thread::spawn(move || push(address).status);
    until("the request hangs", || collector.received().held() == 1);
    collector.stop();
    assert_eq!(hanging.join().expect("an answer"), 503);
}

#[test]
fn both_ports_are_free_after_stop_even_if_a_client_stays_connected() {
    let collector = start();
    let (grpc, http) = (collector.grpc_addr(), collector.http_addr());
    let _idle = TcpStream::connect(http).expect("a connection");
    let _idle_grpc = TcpStream::connect(grpc).expect("a connection");
    collector.stop();
    collector.stop();
    for address in [grpc, http] {
        TcpListener::bind(address).expect("the port is free");
    }
    let again = Collector::start(Config {
        grpc,
        http,
        ..Config::silent()
    })
    .expect("the same ports");
    assert_eq!(again.http_addr(), http);
}

#[test]
fn dropping_a_collector_stops_it() {
    let collector = start();
    let address = collector.http_addr();
    drop(collector);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let grpc = taken.local_addr().expect("an address");
    let err = Collector::start(Config {
        grpc,
        ..Config::silent()
    })
    .expect_err("the port is taken");
    assert!(
        matches!(
            err,
            Error::Listen {
                protocol: "gRPC",
                ..
            }
        ),
        "{err:?}"
    );
    assert!(err.to_string().contains(&grpc.to_string()), "{err}");
}

#[test]
fn an_output_that_is_closed_does_not_stop_receiving() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let collector = Collector::start(Config {
        output: Box::new(Closed),
        ..Config::default()
    })
    .expect("the collector starts");
    for _ in 0..3 {
        assert_eq!(push(collector.http_addr()).status, 200);
    }
    assert_eq!(collector.received().requests(Signal::Metrics), 3);
    collector.stop();
}

#[test]
fn without_an_endpoint_a_collector_is_embedded_and_the_workers_get_its_address() {
    let mut env = BTreeMap::from([
        (
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL".to_owned(),
            "grpc".to_owned(),
        ),
        ("OTEL_TRACES_EXPORTER".to_owned(), "none".to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), String::new()),
    ]);
    let signals = [Signal::Metrics, Signal::Logs, Signal::Traces];
    let collector = EmbedOptions::default()
        .embed_unless_configured(&mut env, &signals)
        .expect("a free port")
        .expect("embedded");
    let (grpc, http) = (collector.grpc_addr(), collector.http_addr());
    assert!(http.ip().is_loopback());
    assert_eq!(
        env["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"],
        format!("http://{http}/v1/metrics")
    );
    assert_eq!(
        env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"],
        format!("http://{grpc}")
    );
    assert!(!env.contains_key("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
    assert_eq!(push(http).status, 200);
    until("the request is counted", || {
        collector.received().requests(Signal::Metrics) == 1
    });
}

#[test]
fn nothing_is_embedded_if_the_environment_configures_the_export() {
    let decisions = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://localhost:4318/v1/metrics",
        ),
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_METRICS_EXPORTER", "console"),
    ];
    for (name, value) in decisions {
        let before = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let mut env = before.clone();
        let options = EmbedOptions::default();
        let embedded = options
            .embed_unless_configured(&mut env, &[Signal::Metrics])
            .expect("no error");
        assert!(embedded.is_none(), "{name}={value}");
        assert_eq!(env, before);
    }
}
