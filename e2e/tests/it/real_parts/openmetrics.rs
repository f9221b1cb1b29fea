//! What OpenMetrics has beside samples reaches Prometheus: start times and exemplars.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use e2e::{Program, SOON, http, poll, prometheus::Prometheus};

use super::formats::configuration;
use crate::{
    otlp::{self, Protocol, collector},
    support::stop,
};

#[test]
fn the_first_request_of_a_series_is_an_increase_where_prometheus_uses_start_times() -> Result<()> {
    const COUNT: &str = "sum(http_server_request_duration_seconds_count)";
    const INCREASE: &str = "sum(round(increase(http_server_request_duration_seconds_count[1m])))";
    let running = Program::new("metrics-multi-process-pull").start()?;
    let addr = running.addr()?;
    let configuration = configuration(&addr.to_string(), &[("e2e", String::new())]);
    let feature = "--enable-feature=created-timestamp-zero-ingestion";
    let Some(with_start) = Prometheus::start_newest(&configuration, &[feature])? else {
        return Ok(());
    };
    let without = Prometheus::start_each(&[addr])?;
    for prometheus in without.iter().chain([&with_start]) {
        prometheus.wait_for("num_requests_total", 0.0, SOON)?;
    }
    http::get(addr, "/")?;
    with_start.wait_for(COUNT, 1.0, SOON)?;
    with_start.wait_for(INCREASE, 1.0, SOON)?;
    for prometheus in without {
        prometheus.wait_for(COUNT, 1.0, SOON)?;
        prometheus.wait_for(INCREASE, 0.0, SOON)?;
    }
    Ok(())
}

#[test]
fn the_bucket_of_a_slow_request_leads_to_its_trace() -> Result<()> {
    let collector = collector()?;
    let chain = format!("http://{}/", slow_service()?);
    let program = Program::new("all-signals")
        .option("--metrics", "pull")
        .env("CHAIN_URL", chain)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    let running = otlp::pushing_to(program, &collector, Protocol::Http).start()?;
    let addr = running.addr()?;
    let configuration = configuration(&addr.to_string(), &[("e2e", String::new())]);
    let arguments = ["--enable-feature=exemplar-storage"];
    let Some(prometheus) = Prometheus::start_newest(&configuration, &arguments)? else {
        return Ok(());
    };
    for _ in 0..20 {
        http::get(addr, "/")?;
    }
    assert_eq!(http::get(addr, "/chain")?.status, 200);

    let slow = "http_server_request_duration_seconds_bucket{http_route='/chain'}";
    let labels = poll("an exemplar of the slow request", SOON, || {
        let found = prometheus.exemplars(slow).ok()?;
        let exemplar = found.pointer("/0/exemplars/0")?;
        let seconds: f64 = exemplar["value"].as_str()?.parse().ok()?;
        assert!(seconds >= DELAY.as_secs_f64(), "{exemplar}");
        Some(exemplar["labels"].clone())
    })?;
    stop(running)?;
    let received = collector.received();
    let mut spans = received.spans().iter();
    let span = spans.find(|span| span.span.name == "GET /chain");
    let span = span.context("the slow request has no span")?;
    assert_eq!(labels["trace_id"], span.trace_id());
    assert_eq!(labels["span_id"], span.span_id());
    Ok(())
}

/// How long the slow service takes.
const DELAY: Duration = Duration::from_millis(600);

/// A service that takes its time for one answer.
fn slow_service() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        // The head of a GET request is one packet.
        let _ = stream.read(&mut [0; 4096])?;
        thread::sleep(DELAY);
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        Ok(stream.write_all(answer.as_bytes())?)
    });
    Ok(address)
}
