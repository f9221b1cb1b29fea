//! Every ending of a request ends its span and is recorded in it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use anyhow::Result;
use e2e::{SOON, Signal, http::Connection};

use super::{get, int, pushing_to, status, text, wait_for_name};
use crate::otlp::{PROTOCOLS, collector};

#[test]
fn a_panic_is_an_error_with_its_exception_and_the_worker_goes_on() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let workers = running.workers();
    let answer = get(&running, "/demo/panic")?;
    assert_eq!(answer.status, 500);
    assert!(!answer.body.contains("asked"), "{answer:?}");
    let span = wait_for_name(&collector, "GET /demo/panic")?;
    assert_eq!(int(&span, "http.response.status_code"), Some(500));
    assert_eq!(status(&span), (2, ""));
    assert_eq!(text(&span, "error.type"), Some("panic"));
    let [event] = &span.span.events[..] else {
        panic!("{:?}", span.span.events);
    };
    assert_eq!(event.name, "exception");
    let told = format!("{:?}", event.attributes);
    for part in ["panic", "a request asked for it", "traces/src/demo.rs:"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The log has it too, in one line.
    let id = span.trace_id();
    let logged = |line: &str| line.contains("panicked: ") && line.contains(&id);
    running.wait_for_line(logged, SOON)?;
    assert_eq!(get(&running, "/")?.status, 200);
    assert_eq!(running.workers(), workers);
    Ok(())
}

#[test]
fn a_client_that_disconnects_during_a_response_leaves_an_error() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let mut stream = TcpStream::connect(running.addr()?)?;
    stream.write_all(b"GET /demo/endless HTTP/1.1\r\nHost: x\r\n\r\n")?;
    stream.read_exact(&mut [0; 10_000])?;
    drop(stream);
    let span = wait_for_name(&collector, "GET /demo/endless")?;
    assert_eq!(status(&span), (2, "the response was cut before its end"));
    assert_eq!(text(&span, "error.type"), Some("cancelled"));
    // It was on its way with this.
    assert_eq!(int(&span, "http.response.status_code"), Some(200));
    Ok(())
}

#[test]
fn a_quick_stop_ends_the_spans_of_interrupted_requests() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .start()?;
        let mut connections = Vec::new();
        for _ in 0..3 {
            let mut connection = Connection::open(running.addr()?)?;
            connection.send_get("/demo/sleep/3600000")?;
            connections.push(connection);
        }
        e2e::poll("the requests to begin", SOON, || {
            let sleeping = |line: &str| line.contains("sleeping");
            (running.console().count(sleeping) == 3).then_some(())
        })?;
        running.signal(Signal::SIGINT)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
        let received = collector.received();
        assert_eq!(received.spans().len(), 3, "{}", running.console());
        for span in received.spans() {
            let cut = "the request was cut before it was answered";
            assert_eq!(status(span), (2, cut));
            assert_eq!(text(span, "error.type"), Some("cancelled"));
            assert_eq!(span.attribute("http.response.status_code"), None);
        }
    }
    Ok(())
}

#[test]
fn a_call_that_is_given_up_with_its_request_ends_without_an_error() -> Result<()> {
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let collector = collector()?;
    let mut running = pushing_to(&collector, PROTOCOLS[0])
        .env("CHAIN_URL", format!("http://{}/", silent.local_addr()?))
        .start()?;
    let mut connection = Connection::open(running.addr()?)?;
    connection.send_get("/chain")?;
    // The call has arrived when there is something to accept.
    silent.set_nonblocking(true)?;
    let _called = e2e::poll("the call", SOON, || silent.accept().ok())?;
    running.signal(Signal::SIGINT)?;
    running.wait_exit(SOON)?;
    running.wait_gone(SOON)?;
    let call = wait_for_name(&collector, "GET")?;
    assert_eq!(status(&call), (0, ""));
    assert_eq!(text(&call, "error.type"), None);
    let server = wait_for_name(&collector, "GET /chain")?;
    assert_eq!(call.parent_span_id(), server.span_id());
    assert_eq!(status(&server).0, 2);
    Ok(())
}

#[test]
fn an_answer_without_a_body_is_complete() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let mut stream = TcpStream::connect(running.addr()?)?;
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let span = wait_for_name(&collector, "HEAD /")?;
    assert_eq!(status(&span), (0, ""), "{answer}");
    assert_eq!(span.attribute("error.type"), None);
    Ok(())
}
