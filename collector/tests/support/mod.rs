//! Helpers that send valid, invalid and truncated requests.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod view;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use collector::{
    Collector, Config, Format,
    proto::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
        metrics::v1::{
            AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
            metric::Data, number_data_point,
        },
        resource::v1::Resource,
    },
};
use flate2::{Compression, write::GzEncoder};

pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// Timeout of a wait. Only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body, which is JSON and said to be.
    pub(crate) fn json(&self) -> serde_json::Value {
        let head = &self.head;
        assert!(head.contains("content-type: application/json"), "{head}");
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Sends one POST on a new connection.
pub(crate) fn post(address: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> Answer {
    post_with(
        address,
        path,
        &format!("Content-Type: {content_type}\r\n"),
        body,
    )
}

pub(crate) fn post_with(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    exchange(address, &request)
}

/// Sends the bytes unchanged and reads the whole response.
pub(crate) fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the collector accepts connections");
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a timeout can be set");
    let mut writer = stream.try_clone().expect("a socket can be cloned");
    let request = request.to_vec();
    // The response to an oversized body may come before the body was read.
    let writing = thread::spawn(move || writer.write_all(&request));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer arrives");
    let _ = writing.join();
    parse(&answer)
}

pub(crate) fn parse(answer: &[u8]) -> Answer {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no complete head: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.expect("a status code"),
        head,
        body: answer[end + 4..].to_vec(),
    }
}

/// The message of a `google.rpc.Status`.
pub(crate) fn status_message(body: &[u8]) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    let status: Status = prost::Message::decode(body).expect("a google.rpc.Status");
    assert_ne!(status.code, 0, "an error has a code");
    status.message
}

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "did not happen in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    })
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: text(value),
        ..KeyValue::default()
    }
}

pub(crate) fn resource(service: &str, instance: &str, pid: i64) -> Resource {
    let mut attributes = vec![
        attribute("service.name", service),
        attribute("service.instance.id", instance),
    ];
    attributes.push(KeyValue {
        key: "process.pid".to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(pid)),
        }),
        ..KeyValue::default()
    });
    Resource {
        attributes,
        ..Resource::default()
    }
}

pub(crate) fn scope(name: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: name.to_owned(),
        ..InstrumentationScope::default()
    })
}

pub(crate) fn metrics_request(
    resource: Resource,
    metrics: Vec<Metric>,
) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                scope: scope("test"),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// A monotonic sum with one data point.
pub(crate) fn counter(
    name: &str,
    temporality: AggregationTemporality,
    (start, time): (u64, u64),
    value: i64,
) -> Metric {
    Metric {
        name: name.to_owned(),
        data: Some(Data::Sum(Sum {
            data_points: vec![NumberDataPoint {
                start_time_unix_nano: start,
                time_unix_nano: time,
                value: Some(number_data_point::Value::AsInt(value)),
                ..NumberDataPoint::default()
            }],
            aggregation_temporality: temporality.into(),
            is_monotonic: true,
        })),
        ..Metric::default()
    }
}

/// A request with one cumulative counter, `num_requests`.
pub(crate) fn num_requests(
    instance: &str,
    times: (u64, u64),
    value: i64,
) -> ExportMetricsServiceRequest {
    let metric = counter(
        "num_requests",
        AggregationTemporality::Cumulative,
        times,
        value,
    );
    metrics_request(resource("shop", instance, 1), vec![metric])
}

/// An output that a test can read while the collector writes to it.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Mutex<Vec<u8>>>);

/// A collector that prints to a screen, without color.
pub(crate) fn printing(format: Format) -> (Collector, Screen) {
    let screen = Screen::default();
    let collector = Collector::start(Config {
        format,
        output: Box::new(screen.clone()),
        color: false,
        view: false,
        ..Config::default()
    });
    (collector.expect("the collector starts"), screen)
}

impl Screen {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer has panicked").clone()).expect("UTF-8")
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("no writer has panicked")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
