//! What arrives from the service with all signals, counted exactly.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, ensure};
use collector::{
    Received, ReceivedSpan,
    proto::{common::v1::any_value::Value, trace::v1::span::SpanKind},
};
use e2e::{SOON, http};

use super::vendored::Service;
use crate::{
    otlp::{self, Protocol},
    support::stop,
};

/// Method, path, body, how often, the status, and the route that is counted.
type Request = (
    &'static str,
    &'static str,
    &'static str,
    usize,
    u16,
    Option<&'static str>,
);

const MILK: &str = r#"{"description":"milk"}"#;
/// The database refuses it, and a middleware replaces the response.
const EMPTY: &str = r#"{"description":""}"#;

const REQUESTS: [Request; 7] = [
    ("POST", "/tasks", MILK, 12, 201, Some("/tasks")),
    ("GET", "/tasks", "", 9, 200, Some("/tasks")),
    ("POST", "/tasks", EMPTY, 3, 500, Some("/tasks")),
    (
        "POST",
        "/tasks/99/complete",
        "",
        4,
        404,
        Some("/tasks/{id}/complete"),
    ),
    ("GET", "/quote", "", QUOTES, 200, Some("/quote")),
    ("GET", "/wp-login.php", "", 5, 404, None),
    ("GET", "/.env", "", 2, 404, None),
];
const QUOTES: usize = 6;
const FAILURES: usize = 3;
const SOCKETS: usize = 2;

const DURATION: &str = "http.server.request.duration";
const ERROR_TYPE: &str = "todo::error::Error";
const ERROR: &str = "the database failed";

/// Runs the service in two worker processes and asks it everything.
pub(super) fn assert_exact(service: &Service) -> Result<()> {
    let collector = otlp::collector()?;
    let (quotes, asked) = quotes()?;
    let program = service.program()?.env("WEB_CONCURRENCY", "2");
    let program = program.env("QUOTE_URL", format!("http://{quotes}/quote"));
    let running = otlp::pushing_to(program, &collector, Protocol::Http).start()?;
    let address = running.addr()?;

    for (method, path, body, times, status, _) in REQUESTS {
        for _ in 0..times {
            let answer = send(address, method, path, body)?;
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            // The service's middleware still replaces the response.
            assert!(!answer.body.contains(ERROR), "{answer:?}");
        }
    }
    for _ in 0..5 {
        assert_eq!(http::get(address, "/healthz")?.status, 200);
    }
    for _ in 0..SOCKETS {
        talk(address)?;
    }
    assert_scraped(&http::get_until_close(address, "/metrics")?)?;
    let workers: BTreeSet<_> = running.ready()?.serving().into_iter().collect();
    stop(running)?;

    let received = collector.received();
    assert_identity(&received, &workers);
    assert_pushed(&received);
    assert_logged(&received);
    let asked = asked
        .join()
        .ok()
        .context("the service of quotes panicked")??;
    assert_traced(&received, &asked)
}

fn total() -> usize {
    REQUESTS.iter().map(|request| request.3).sum()
}

/// `/metrics` adds up both processes.
fn assert_scraped(text: &str) -> Result<()> {
    let name = "http_server_request_duration_seconds_count{";
    let lines = || text.lines().filter(|line| line.starts_with(name));
    let mut counted = 0;
    for (method, _, _, _, status, route) in REQUESTS {
        let next = match route {
            Some(route) => format!("http_route=\"{route}\""),
            None => "network_protocol_version=\"1.1\"".to_owned(),
        };
        let labels = format!(
            "http_request_method=\"{method}\",http_response_status_code=\"{status}\",{next},"
        );
        let line = lines().find(|line| line.contains(&labels));
        let line = line.with_context(|| format!("{labels} is missing in {text}"))?;
        let count = line.rsplit(' ').next().unwrap_or_default();
        assert_eq!(
            count.parse::<f64>()? as usize,
            expected(method, status, route),
            "{line}"
        );
    }
    for line in lines() {
        counted += line.rsplit(' ').next().unwrap_or_default().parse::<f64>()? as usize;
    }
    // Neither the websockets nor what is skipped.
    assert_eq!(counted, total(), "{text}");
    Ok(())
}

/// How often a series was counted, in which several requests may meet.
fn expected(method: &str, status: u16, route: Option<&str>) -> usize {
    let same = REQUESTS
        .iter()
        .filter(|request| (request.0, request.4, request.5) == (method, status, route));
    same.map(|request| request.3).sum()
}

/// One identity for a process, over all signals.
fn assert_identity(received: &Received, workers: &BTreeSet<u32>) {
    let mut ids = BTreeMap::<&str, BTreeSet<&str>>::new();
    for instance in received.instances() {
        assert_eq!(instance.service(), "todo");
        let version = instance.resource_attribute("service.version");
        assert_eq!(version, Some("1.4.2"));
        let ids = ids.entry(instance.pid().unwrap_or_default()).or_default();
        ids.insert(instance.id());
    }
    let pids: BTreeSet<_> = ids.keys().filter_map(|pid| pid.parse().ok()).collect();
    assert_eq!(&pids, workers);
    let all: BTreeSet<_> = ids.values().flatten().collect();
    assert!(
        ids.values().all(|ids| ids.len() == 1) && all.len() == ids.len(),
        "{ids:?}"
    );
}

fn assert_pushed(received: &Received) {
    for (method, _, _, _, status, route) in REQUESTS {
        let status_text = status.to_string();
        let attributes = [
            ("http.request.method", method),
            ("http.response.status_code", status_text.as_str()),
        ];
        let series = received.series(DURATION, &attributes);
        let series = series.filter(|series| series.attribute("http.route") == route);
        let count: u64 = series.map(|series| series.count).sum();
        assert_eq!(
            count as usize,
            expected(method, status, route),
            "{method} {route:?}"
        );
    }
    assert_eq!(received.count(DURATION, &[]) as usize, total());
    let failed = received.count(DURATION, &[("error.type", ERROR_TYPE)]);
    assert_eq!(failed as usize, FAILURES);
}

fn assert_logged(received: &Received) {
    let access = received.logs().iter().filter(|log| log.scope == "access");
    let access: Vec<_> = access.collect();
    assert_eq!(access.len(), total() + SOCKETS);
    let failed = access
        .iter()
        .filter(|log| log.record.severity_text == "ERROR");
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), FAILURES);
    for log in failed {
        assert_eq!(log.attribute("exception.type"), Some(&text(ERROR_TYPE)));
        assert_eq!(log.attribute("exception.message"), Some(&text(ERROR)));
    }
    // Records of the service's own `log::info!`, with the request that they belong to.
    let own = received
        .logs()
        .iter()
        .filter(|log| log.scope == "todo::routes");
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), expected("POST", 201, Some("/tasks")));
    for log in own {
        assert_eq!(log.attribute("http.route"), Some(&text("/tasks")));
        let is_known = |span: &ReceivedSpan| span.span_id() == log.span_id();
        assert!(received.spans().iter().any(is_known), "{log:?}");
    }
}

fn assert_traced(received: &Received, asked: &[String]) -> Result<()> {
    let of_kind = |kind: SpanKind| {
        let spans = received.spans().iter();
        spans.filter(move |span| span.span.kind == kind as i32)
    };
    assert_eq!(of_kind(SpanKind::Server).count(), total() + SOCKETS);
    let failed = of_kind(SpanKind::Server)
        .filter(|span| span.attribute("error.type") == Some(&text(ERROR_TYPE)));
    assert_eq!(failed.count(), FAILURES);

    let mut sent = BTreeSet::new();
    for call in of_kind(SpanKind::Client) {
        let parent = of_kind(SpanKind::Server).find(|span| span.span_id() == call.parent_span_id());
        let parent = parent.context("a call has no parent")?;
        assert_eq!(parent.span.name, "GET /quote");
        assert_eq!(parent.trace_id(), call.trace_id());
        // Sampled, and of a trace that began here with a random id.
        sent.insert(format!("00-{}-{}-03", call.trace_id(), call.span_id()));
    }
    assert_eq!(sent.len(), QUOTES);
    assert_eq!(sent, asked.iter().cloned().collect());
    Ok(())
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn send(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<http::Response> {
    let mut connection = http::Connection::open(address)?;
    connection.send(&format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))?;
    connection.receive()
}

/// Opens a websocket, and leaves.
fn talk(address: SocketAddr) -> Result<()> {
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )?;
    let head = read_head(&mut socket)?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
    Ok(())
}

/// The service that ours calls. It gives back the `traceparent` of each call.
fn quotes() -> Result<(SocketAddr, JoinHandle<Result<Vec<String>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let serve = move || {
        let mut asked = Vec::new();
        for _ in 0..QUOTES {
            let (mut stream, _) = listener.accept()?;
            let head = read_head(&mut stream)?;
            let parent = head
                .lines()
                .find_map(|line| line.strip_prefix("traceparent: "));
            asked.push(parent.unwrap_or_default().to_owned());
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            stream.write_all(answer.as_bytes())?;
        }
        Ok(asked)
    };
    Ok((address, thread::spawn(serve)))
}

fn read_head(stream: &mut TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(SOON))?;
    let (mut head, mut bytes) = (String::new(), [0; 4096]);
    while !head.contains("\r\n\r\n") {
        let count = stream.read(&mut bytes)?;
        ensure!(count > 0, "the connection ended after {head:?}");
        head += &String::from_utf8_lossy(&bytes[..count]);
    }
    Ok(head)
}
