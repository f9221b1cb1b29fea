//! `all-signals`: a request is a trace, log records with its ids, and increments, for pull and push.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use collector::{
    Collector, Fault, Received, ReceivedSpan, Signal, proto::common::v1::any_value::Value,
};
use e2e::{
    Load, Program, Running, SOON, Signal as UnixSignal,
    http::{self, Connection},
    poll, process,
};

use crate::{
    otlp::{self, PROTOCOLS, Protocol, collector},
    support::stop,
};

/// The program without simulated errors, exporting several times a second.
fn all_signals(collector: &Collector, protocol: Protocol) -> Program {
    let program = Program::new("all-signals")
        .arg("--demo")
        .env("ERROR_RATE", "0")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    otlp::pushing_to(program, collector, protocol)
}

fn span(received: &Received, name: &str) -> Result<ReceivedSpan> {
    let found = received.spans().iter().find(|span| span.span.name == name);
    let names = || received.spans().iter().map(|span| &span.span.name);
    found
        .cloned()
        .with_context(|| format!("no {name} in {:?}", names().collect::<Vec<_>>()))
}

/// The records of a trace, each with the span that it belongs to.
fn records(received: &Received, trace: &str) -> Vec<(String, String)> {
    let logs = received.logs().iter();
    let mut logs: Vec<_> = logs.filter(|log| log.trace_id() == trace).collect();
    logs.sort_by_key(|log| log.record.time_unix_nano);
    let logs = logs.into_iter();
    logs.map(|log| (log.body(), log.span_id())).collect()
}

#[test]
fn one_request_is_a_trace_records_with_its_ids_and_increments() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = all_signals(&collector, protocol)
            .env("ERROR_RATE", "1")
            .start()?;
        assert_eq!(http::get(running.addr()?, "/")?.status, 200);
        stop(running)?;
        let received = collector.received();
        let (server, work) = (span(&received, "GET /")?, span(&received, "internal_work")?);
        assert_eq!(work.trace_id(), server.trace_id());
        assert_eq!(work.parent_span_id(), server.span_id());
        let records = records(&received, &server.trace_id());
        let bodies: Vec<_> = records.iter().map(|(body, _)| body.as_str()).collect();
        assert_eq!(
            bodies,
            ["Request received", "the internal work failed", "GET / 200"]
        );
        assert!(
            records.iter().all(|(_, span)| *span == server.span_id()),
            "{records:?}"
        );
        for name in ["num_requests", "error_count"] {
            assert_eq!(received.sum(name, &[]), 1.0, "{name}");
        }
        let route = [("http.route", "/"), ("http.response.status_code", "200")];
        assert_eq!(received.count("http.server.request.duration", &route), 1);
    }
    Ok(())
}

#[test]
fn all_signals_of_a_process_have_one_identity() -> Result<()> {
    let collector = collector()?;
    let running = all_signals(&collector, Protocol::Http)
        .env("OTEL_SERVICE_NAME", "shop")
        // On a busy machine a worker may get a helper, which is one more.
        .option("--hang-timeout", 0)
        .start()?;
    let workers = running.workers().len();
    Load::on(running.addr()?).clients(8).requests(200).run()?;
    stop(running)?;
    let received = collector.received();
    let instances = received.instances();
    assert_eq!(instances.len(), workers, "{instances:?}");
    assert!(
        instances
            .iter()
            .all(|instance| instance.service() == "shop")
    );
    let pids: BTreeSet<_> = instances.iter().map(|instance| instance.pid()).collect();
    assert_eq!(pids.len(), workers);
    // Requests, server spans, and access lines agree to the unit.
    assert_eq!(received.sum("num_requests", &[]), 200.0);
    let spans = received
        .spans()
        .iter()
        .filter(|span| span.span.name == "GET /");
    assert_eq!(spans.count(), 200);
    let lines = received.logs().iter().filter(|log| log.scope == "access");
    assert_eq!(lines.count(), 200);
    Ok(())
}

#[test]
fn the_span_is_kept_on_the_thread_pool_and_in_a_spawned_task() -> Result<()> {
    let collector = collector()?;
    let running = all_signals(&collector, Protocol::Http).start()?;
    http::get(running.addr()?, "/demo/threads")?;
    stop(running)?;
    let received = collector.received();
    let work = span(&received, "on_other_threads")?;
    let records = records(&received, &work.trace_id());
    for body in ["in web::block", "in a spawned task"] {
        let expected = (body.to_owned(), work.span_id());
        assert!(records.contains(&expected), "{body}: {records:?}");
    }
    Ok(())
}

#[test]
fn the_error_of_a_handler_is_in_span_record_and_metric_with_its_type() -> Result<()> {
    const TYPE: &str = "all_signals::routes::WorkError";
    let collector = collector()?;
    let running = all_signals(&collector, Protocol::Http).start()?;
    assert_eq!(http::get(running.addr()?, "/demo/fail")?.status, 500);
    assert_eq!(http::get(running.addr()?, "/demo/panic")?.status, 500);
    stop(running)?;
    let received = collector.received();
    for (path, error_type) in [("/demo/fail", TYPE), ("/demo/panic", "panic")] {
        let server = span(&received, &format!("GET {path}"))?;
        let expected = Value::StringValue(error_type.to_owned());
        assert_eq!(server.attribute("error.type"), Some(&expected));
        assert_eq!(server.span.events[0].name, "exception");
        let failed = [("http.route", path), ("error.type", error_type)];
        assert_eq!(received.count("http.server.request.duration", &failed), 1);
    }
    let line = received
        .logs()
        .iter()
        .find(|log| log.body() == "GET /demo/fail 500");
    let line = line.context("no access line")?;
    assert_eq!(line.record.severity_text, "ERROR");
    assert_eq!(
        line.attribute("exception.type"),
        Some(&Value::StringValue(TYPE.to_owned()))
    );
    Ok(())
}

#[test]
fn a_server_that_logs_everything_exports_nothing_once_it_is_idle() -> Result<()> {
    for protocol in PROTOCOLS {
        let collector = collector()?;
        let running = all_signals(&collector, protocol)
            .env("OTEL_METRICS_EXPORTER", "none")
            .env("RUST_LOG", "trace")
            .env(
                "OTEL_RUST_LOG",
                "trace,h2=trace,hyper=trace,reqwest=trace,tonic=trace",
            )
            .start()?;
        http::get(running.addr()?, "/")?;
        let exports = || {
            let received = collector.received();
            received.requests(Signal::Logs) + received.requests(Signal::Traces)
        };
        // A loop would never let twenty intervals pass without an export.
        poll("a while without an export", SOON, || {
            let before = exports();
            thread::sleep(Duration::from_secs(1));
            (before > 0 && exports() == before).then_some(())
        })?;
        let received = collector.received();
        let own = |scope: &str| {
            ["h2", "hyper", "reqwest", "tonic", "tower"]
                .iter()
                .any(|name| scope.starts_with(name))
        };
        let found = received.logs().iter().find(|log| own(&log.scope));
        assert!(found.is_none(), "{found:?}");
    }
    Ok(())
}

#[test]
fn what_an_outage_loses_is_counted_exactly_for_each_signal() -> Result<()> {
    let collector = collector()?;
    let running = all_signals(&collector, Protocol::Http)
        .env("WEB_CONCURRENCY", "1")
        .start()?;
    collector.set_fault(Fault::Unavailable);
    Load::on(running.addr()?).requests(50).run()?;
    let told = |what: &str| {
        running.wait_for_line(|line| line.contains(&format!("{what} do not arrive")), SOON)
    };
    told("spans")?;
    told("log records")?;
    collector.set_fault(Fault::None);
    Load::on(running.addr()?).requests(50).run()?;
    let console = running.console().clone();
    stop(running)?;
    let received = collector.received();
    // Each request is two spans; metrics are totals and lose nothing.
    assert_eq!(received.sum("num_requests", &[]), 100.0);
    let lost = lost(&console.to_string(), "spans").unwrap_or(0);
    assert_eq!(received.spans().len() as u64 + lost, 200, "{console}");
    Ok(())
}

/// The number of lost items in the last log line of a worker.
fn lost(console: &str, what: &str) -> Option<u64> {
    let line = console
        .lines()
        .find(|line| line.contains(&format!(" {what} were lost: ")))?;
    let before = line.split(" of ").next()?;
    before.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_by_pull_are_the_sum_over_all_workers_and_none_is_pushed() -> Result<()> {
    for port in ["", "0"] {
        let collector = collector()?;
        let program = all_signals(&collector, Protocol::Http)
            .env("METRICS", "pull")
            .env("METRICS_PORT", port);
        let running = program.start()?;
        Load::on(running.addr()?).clients(8).requests(500).run()?;
        let text = poll("500 observed requests", SOON, || {
            let text = scrape(&running).ok()?;
            text.contains(
                "http_route=\"/\",network_protocol_version=\"1.1\",url_scheme=\"http\"} 500.0\n",
            )
            .then_some(text)
        })?;
        assert!(text.contains("\nnum_requests_total 500.0\n"), "{text}");
        assert!(text.contains("\nworker_up{slot=\"1\"} 1.0\n"), "{text}");
        stop(running)?;
        let received = collector.received();
        assert_eq!(received.requests(Signal::Metrics), 0);
        assert_eq!(
            received
                .spans()
                .iter()
                .filter(|span| span.span.name == "GET /")
                .count(),
            500
        );
    }
    Ok(())
}

fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let Some(url) = running.ready()?.parts.get("metrics") else {
        return running.addr();
    };
    let addr = url.trim_start_matches("http://");
    Ok(addr.trim_end_matches("/metrics").parse()?)
}

fn scrape(running: &Running) -> Result<String> {
    Ok(http::get(metrics_addr(running)?, "/metrics")?.body)
}

fn get_with(addr: SocketAddr, path: &str, header: &str) -> Result<String> {
    let mut connection = Connection::open(addr)?;
    let host = "Host: localhost\r\nConnection: close";
    connection.send(&format!(
        "GET {path} HTTP/1.1\r\n{host}\r\n{header}\r\n\r\n"
    ))?;
    Ok(connection.receive()?.body)
}

#[test]
fn a_scrape_links_to_the_trace_of_a_request_whose_worker_was_killed() -> Result<()> {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let collector = collector()?;
    let running = all_signals(&collector, Protocol::Http)
        .env("METRICS", "pull")
        .env("METRICS_PORT", "0")
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_off")
        .start()?;
    let parent = |flags: &str| format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}");
    let lines = || -> Result<Vec<String>> {
        let accept = "Accept: application/openmetrics-text";
        let text = get_with(metrics_addr(&running)?, "/metrics", accept)?;
        let lines = text.lines().filter(|line| line.contains(" # {"));
        Ok(lines.map(str::to_owned).collect())
    };
    get_with(running.addr()?, "/", &parent("00"))?;
    poll("the request", SOON, || {
        scrape(&running)
            .ok()?
            .contains("num_requests_total 1.0\n")
            .then_some(())
    })?;
    assert_eq!(lines()?, [""; 0]);

    get_with(running.addr()?, "/", &parent("01"))?;
    let link = format!(" # {{trace_id=\"{TRACE}\",span_id=\"");
    let is_shown = |shown: &[String]| {
        let has = |start: &str| {
            let mut lines = shown.iter().filter(|line| line.starts_with(start));
            lines.any(|line| line.contains(&link))
        };
        has("num_requests_total 2.0 ") && has("http_server_request_duration_seconds_bucket{")
    };
    let before = poll("the exemplars", SOON, || {
        lines().ok().filter(|now| is_shown(now))
    })?;
    // The span is ours, below that of the caller.
    assert!(
        !before.iter().any(|line| line.contains("00f067aa0ba902b7")),
        "{before:?}"
    );
    for worker in running.workers() {
        process::send(worker, UnixSignal::SIGKILL)?;
    }
    assert_eq!(lines()?, before);
    // Their successors take the files over.
    poll("another request", SOON, || {
        get_with(running.addr().ok()?, "/", &parent("00")).ok()
    })?;
    poll("the third request", SOON, || {
        scrape(&running)
            .ok()?
            .contains("num_requests_total 3.0\n")
            .then_some(())
    })?;
    assert!(lines()?.iter().any(|line| line.contains(&link)));
    Ok(())
}

#[test]
fn a_next_service_that_never_answers_is_a_502() -> Result<()> {
    // Its queue takes the connection, and nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let running = all_signals(&collector()?, PROTOCOLS[0])
        .env("CHAIN_URL", format!("http://{}/", silent.local_addr()?))
        .start()?;
    let answer = http::get(running.addr()?, "/chain")?;
    assert_eq!(answer.status, 502, "{answer:?}");
    stop(running)
}

#[test]
fn the_sum_that_the_master_pushes_has_every_request_of_workers_that_were_killed() -> Result<()> {
    // Every 100 ms, and at the end alone.
    for (protocol, interval) in PROTOCOLS.into_iter().zip(["100", "3600000"]) {
        let collector = collector()?;
        let running = all_signals(&collector, protocol)
            .option("--workers", 3)
            .option("--metrics", "push-sum")
            .env("OTEL_METRIC_EXPORT_INTERVAL", interval)
            .start()?;
        let (addr, master) = (running.addr()?, running.pid().to_string());
        for round in 1..=3 {
            let load = Load::on(addr).clients(8).keep_alive(false).requests(200);
            assert_eq!(load.run()?.statuses.get(&200), Some(&200));
            // A client has its answer a moment before the duration is recorded.
            let recorded = format!(" {}.0\n", round * 200);
            poll("all durations", SOON, || {
                let text = http::get(addr, "/metrics").ok()?.body;
                let (_, count) =
                    text.split_once("\nhttp_server_request_duration_seconds_count{")?;
                count
                    .split_once('}')?
                    .1
                    .starts_with(&recorded)
                    .then_some(())
            })?;
            if round == 3 {
                break;
            }
            let victim = running.workers()[0];
            process::send(victim, UnixSignal::SIGKILL)?;
            poll("the replacement", SOON, || {
                let workers = running.workers();
                (workers.len() == 3 && !workers.contains(&victim)).then_some(())
            })?;
        }
        stop(running)?;
        let received = collector.received();
        assert_eq!(received.sum("num_requests", &[]), 600.0);
        let route = [("http_route", "/"), ("http_response_status_code", "200")];
        assert_eq!(
            received.count("http_server_request_duration_seconds", &route),
            600
        );
        // One series for the service, with the identity of the master.
        let instances = received.per_instance("num_requests", &[]);
        let identity = |pid: &str| {
            received
                .instances()
                .iter()
                .find(|found| found.pid() == Some(pid))
        };
        let master = identity(&master).context("nothing of the master")?;
        assert_eq!(instances.into_keys().collect::<Vec<_>>(), [master.id()]);
        assert_eq!(received.series("num_requests", &[]).count(), 1);
    }
    Ok(())
}
