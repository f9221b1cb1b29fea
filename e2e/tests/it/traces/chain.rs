//! A trace across two requests, usually in two processes, is complete.

use std::{
    collections::{HashMap, HashSet},
    net::{SocketAddr, TcpListener},
};

use anyhow::{Context, Result};
use collector::{ReceivedSpan, proto::trace::v1::span::SpanKind};
use e2e::{Load, SOON};

use super::{get, int, pushing_to, status, text, wait_for_name};
use crate::{
    otlp::{PROTOCOLS, collector},
    support::stop,
};

#[test]
fn a_thousand_chains_over_four_workers_are_a_thousand_complete_traces() -> Result<()> {
    const CHAINS: u64 = 1_000;
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let mut running = pushing_to(&collector, protocol)
            .env("WEB_CONCURRENCY", "4")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "100000")
            .env("RUST_LOG", "warn")
            .start()?;
        let load = Load::on(running.addr()?).path("/chain").clients(8);
        let report = load.keep_alive(false).requests(CHAINS).run()?;
        assert_eq!(report.statuses.get(&200), Some(&CHAINS), "{report}");
        stop(&mut running)?;

        let received = collector.received();
        let mut traces: HashMap<String, Vec<&ReceivedSpan>> = HashMap::new();
        for span in received.spans() {
            traces.entry(span.trace_id()).or_default().push(span);
        }
        assert_eq!(traces.len() as u64, CHAINS, "{protocol:?}");
        let mut over_two_workers = 0;
        let mut workers = HashSet::new();
        for spans in traces.values() {
            assert_is_chain(spans);
            let of_trace: HashSet<_> = spans.iter().map(|span| span.instance.id()).collect();
            over_two_workers += usize::from(of_trace.len() == 2);
            workers.extend(of_trace);
        }
        assert_eq!(workers.len(), 4);
        // The kernel sends three of four connections to another worker.
        assert!(over_two_workers > 100, "{over_two_workers}");
    }
    Ok(())
}

/// Checks the spans of a chain: calling server, call, called server, its work. The first is the root, and each is the
/// parent of the next.
fn assert_is_chain(spans: &[&ReceivedSpan]) {
    let mut parent = String::new();
    for (name, kind) in [
        ("GET /chain", SpanKind::Server),
        ("GET", SpanKind::Client),
        ("GET /", SpanKind::Server),
        ("internal work", SpanKind::Internal),
    ] {
        let below: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id() == parent)
            .collect();
        let [span] = below[..] else {
            panic!("{} spans below {parent:?}: {spans:#?}", below.len());
        };
        assert_eq!((span.span.name.as_str(), span.span.kind()), (name, kind));
        assert!(span.span.start_time_unix_nano <= span.span.end_time_unix_nano);
        parent = span.span_id();
    }
    assert_eq!(spans.len(), 4, "{spans:#?}");
}

#[test]
fn a_client_span_names_the_called_server_and_the_status() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0]).start()?;
    let answer = get(&running, "/chain")?;
    let pid = running.workers()[0];
    assert_eq!(answer.body, format!("Hello from {pid}!\nHello from {pid}!"));
    let span = wait_for_name(&collector, "GET")?;
    let addr = running.addr()?;
    assert_eq!(span.span.kind(), SpanKind::Client);
    assert_eq!(text(&span, "http.request.method"), Some("GET"));
    assert_eq!(text(&span, "server.address"), Some("127.0.0.1"));
    assert_eq!(int(&span, "server.port"), Some(addr.port().into()));
    let url = format!("http://{addr}/");
    assert_eq!(text(&span, "url.full"), Some(url.as_str()));
    assert_eq!(int(&span, "http.response.status_code"), Some(200));
    assert_eq!(status(&span), (0, ""));
    assert_eq!(span.attribute("error.type"), None);
    Ok(())
}

#[test]
fn concurrent_calls_of_one_thread_to_itself_do_not_deadlock() -> Result<()> {
    let running = pushing_to(&collector()?, PROTOCOLS[0])
        .env("RUST_LOG", "off")
        .start()?;
    let load = Load::on(running.addr()?).path("/chain").clients(64);
    let report = load.requests(1_000).run()?;
    assert_eq!(report.statuses.get(&200), Some(&1_000), "{report}");
    Ok(())
}

#[test]
fn a_service_that_listens_everywhere_calls_itself_on_loopback() -> Result<()> {
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0])
        .env("BIND_HOST", "0.0.0.0")
        .start()?;
    let port = running.addr()?.port();
    let answer = e2e::http::get(SocketAddr::from(([127, 0, 0, 1], port)), "/chain")?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let span = wait_for_name(&collector, "GET")?;
    assert_eq!(text(&span, "server.address"), Some("127.0.0.1"));
    Ok(())
}

#[test]
fn an_endless_response_of_the_next_service_is_a_502_soon() -> Result<()> {
    let other = pushing_to(&collector()?, PROTOCOLS[0]).start()?;
    let collector = collector()?;
    let running = pushing_to(&collector, PROTOCOLS[0])
        .option(
            "--chain-url",
            format!("http://{}/demo/endless", other.addr()?),
        )
        .start()?;
    assert_eq!(get(&running, "/chain")?.status, 502);
    let too_long = |line: &str| line.contains("longer than 65536 bytes");
    running.wait_for_line(too_long, SOON)?;
    // The call itself succeeded: its caller did not want the rest.
    let call = wait_for_name(&collector, "GET")?;
    assert_eq!(status(&call), (0, ""));
    Ok(())
}

#[test]
fn a_failed_call_to_the_next_service_is_a_502_and_an_error_of_its_span() -> Result<()> {
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    // Its queue takes the connection, and nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let other = pushing_to(&collector()?, PROTOCOLS[0]).start()?;
    for (url, error, description) in [
        (format!("http://{gone}/"), "connection_refused", "refused"),
        (
            format!("http://{}/", silent.local_addr()?),
            "timeout",
            "timed out",
        ),
        (
            format!("http://{}/demo/status/503", other.addr()?),
            "503",
            "",
        ),
        (
            format!("http://{}/demo/status/404", other.addr()?),
            "404",
            "",
        ),
        (
            "http://no-such-host.invalid/".to_owned(),
            "name_not_resolved",
            "ame",
        ),
    ] {
        let collector = collector()?;
        let running = pushing_to(&collector, PROTOCOLS[0])
            .option("--chain-url", &url)
            .start()?;
        let answer = get(&running, "/chain")?;
        assert_eq!(answer.status, 502, "{url}");
        assert_eq!(answer.body, "the next service cannot be reached\n");
        let call = wait_for_name(&collector, "GET")?;
        assert_eq!(text(&call, "error.type"), Some(error), "{url}");
        let (code, told) = status(&call);
        assert_eq!(code, 2, "{url}");
        assert!(told.contains(description), "{url}: {told}");
        assert_eq!(told.is_empty(), description.is_empty(), "{url}: {told}");
        let server = wait_for_name(&collector, "GET /chain")?;
        assert_eq!(int(&server, "http.response.status_code"), Some(502));
        assert_eq!(status(&server), (2, ""));
        assert_eq!(text(&server, "error.type"), Some("502"));
        // The log says why, with the ids.
        let id = server.trace_id();
        let line =
            |line: &str| line.contains("the call of the next service failed") && line.contains(&id);
        running.wait_for_line(line, SOON)?;
    }
    Ok(())
}

#[test]
fn a_trace_runs_through_two_services() -> Result<()> {
    let collector = collector()?;
    let second = pushing_to(&collector, PROTOCOLS[0])
        .env("OTEL_SERVICE_NAME", "second")
        .start()?;
    let first = pushing_to(&collector, PROTOCOLS[1])
        .env("OTEL_SERVICE_NAME", "first")
        .env("CHAIN_URL", format!("http://{}/chain", second.addr()?))
        .start()?;
    assert_eq!(get(&first, "/chain")?.body.lines().count(), 3);
    let work = wait_for_name(&collector, "internal work")?;
    let names = e2e::poll("six spans more", SOON, || {
        let received = collector.received();
        let spans = received.spans().iter();
        let of_trace = spans.filter(|span| span.trace_id() == work.trace_id());
        let names =
            of_trace.map(|span| (span.instance.service().to_owned(), span.span.name.clone()));
        let mut names: Vec<_> = names.collect();
        names.sort();
        (names.len() == 6).then_some(names)
    });
    let names = names.with_context(|| format!("{:#?}", collector.received().spans()))?;
    let names: Vec<_> = names
        .iter()
        .map(|(service, name)| (service.as_str(), name.as_str()))
        .collect();
    let expected = [
        ("first", "GET"),
        ("first", "GET /chain"),
        ("second", "GET"),
        ("second", "GET /"),
        ("second", "GET /chain"),
        ("second", "internal work"),
    ];
    assert_eq!(names, expected);
    Ok(())
}
