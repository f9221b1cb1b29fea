//! The metrics follow the contract for any request.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::{
    Load, SOON,
    http::{self, Connection},
    poll, promtool,
};

use super::{ACTIVE, DURATION, REQUESTS, Scrape, pull};

const COUNT: &str = "http_server_request_duration_seconds_count";

/// Waits until this many requests were observed, and returns the scrape.
fn wait_for_observed(running: &e2e::Running, count: f64) -> Result<Scrape> {
    poll("the last request to end", SOON, || {
        let scrape = Scrape::of(running.addr().ok()?).ok()?;
        (scrape.observed() >= count && scrape.sum(ACTIVE) == 0.0).then_some(scrape)
    })
}

/// The series of a metric by method and status, with the other labels checked.
fn by_method_and_status(scrape: &Scrape) -> BTreeSet<(String, String, u64)> {
    let parse = |(labels, count): (&str, f64)| {
        let rest = labels.strip_prefix("{http_request_method=\"")?;
        let (method, rest) = rest.split_once("\",http_response_status_code=\"")?;
        let (status, rest) = rest.split_once("\",")?;
        let route = if status == "404" {
            ""
        } else {
            "http_route=\"/\","
        };
        let end = format!("{route}network_protocol_version=\"1.1\",url_scheme=\"http\"}}");
        (rest == end).then(|| (method.to_owned(), status.to_owned(), count as u64))
    };
    let series = scrape.series(COUNT);
    series
        .map(|series| parse(series).expect("labels of the contract"))
        .collect()
}

#[test]
fn names_types_help_and_labels_are_exactly_those_of_the_contract() -> Result<()> {
    let running = pull().env("ERROR_RATE", "1").start()?;
    Load::on(running.addr()?).clients(4).requests(100).run()?;
    let scrape = wait_for_observed(&running, 100.0)?;
    for (name, kind, help) in [
        (REQUESTS, "counter", "Number of requests"),
        ("error_count_total", "counter", "Number of errors"),
        (DURATION, "histogram", "Duration of HTTP server requests."),
        (ACTIVE, "gauge", "Number of active HTTP server requests."),
        ("target_info", "gauge", "Target metadata"),
    ] {
        let header = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        assert_eq!(scrape.text.matches(&header).count(), 1, "{header}");
    }
    assert_eq!(scrape.samples[REQUESTS], 100.0);
    assert_eq!(scrape.samples["error_count_total"], 100.0);
    let expected = ("GET".to_owned(), "200".to_owned(), 100);
    assert_eq!(by_method_and_status(&scrape), BTreeSet::from([expected]));
    let active = "{http_request_method=\"GET\",url_scheme=\"http\"}";
    assert_eq!(scrape.series(ACTIVE).collect::<Vec<_>>(), [(active, 0.0)]);
    let bounds = scrape.text.matches(&format!("{DURATION}_bucket{{")).count();
    assert_eq!(bounds, 15);
    Ok(())
}

#[test]
fn no_request_can_create_a_series() -> Result<()> {
    let running = pull().start()?;
    let addr = running.addr()?;
    for number in 0..50 {
        assert_eq!(http::get(addr, &format!("/nope/{number}"))?.status, 404);
        http::get(addr, &format!("/?q={number}"))?;
        http::request(addr, &format!("FOO{number}"), "/")?;
        let mut connection = Connection::open(addr)?;
        connection.send(&format!(
            "GET / HTTP/1.1\r\nHost: evil{number}:{number}\r\n\r\n"
        ))?;
        connection.receive()?;
    }
    for method in ["PUT", "POST", "FOOBAR"] {
        assert_eq!(http::request(addr, method, "/")?.status, 405, "{method}");
    }
    for path in ["/healthz", "/metrics"] {
        assert_eq!(http::get(addr, path)?.status, 200, "{path}");
    }
    let scrape = wait_for_observed(&running, 203.0)?;
    assert_eq!(scrape.sum(REQUESTS), 100.0);
    let expected = [
        ("GET", "200", 100),
        ("GET", "404", 50),
        ("POST", "405", 1),
        ("PUT", "405", 1),
        ("_OTHER", "405", 51),
    ];
    let expected = expected.map(|(method, status, count)| (method.into(), status.into(), count));
    assert_eq!(by_method_and_status(&scrape), expected.into());
    assert_eq!(scrape.series(ACTIVE).count(), 4, "{}", scrape.text);
    for name in ["nope", "evil", "FOO", "healthz", "metrics\""] {
        assert!(!scrape.text.contains(name), "{name} in {}", scrape.text);
    }
    Ok(())
}

#[test]
fn active_requests_return_to_zero_whatever_clients_do() -> Result<()> {
    let running = pull().start()?;
    let addr = running.addr()?;
    for _ in 0..100 {
        // Nobody waits for these answers: the first connection is closed at once, the second in the middle of a request.
        Connection::open(addr)?.send_get("/")?;
        Connection::open(addr)?
            .send("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")?;
    }
    Load::on(addr).clients(16).requests(500).run()?;
    let scrape = wait_for_observed(&running, 500.0)?;
    // A request is counted by both or by none, although nobody waited for its answer.
    assert_eq!(scrape.observed(), scrape.sum(REQUESTS), "{}", scrape.text);
    Ok(())
}

#[test]
fn target_info_identifies_the_service() -> Result<()> {
    let running = pull()
        .option("--workers", 4)
        .env("OTEL_SERVICE_NAME", "shop")
        .env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,deployment.environment.name=a%20%22b%22",
        )
        .start()?;
    let scrape = Scrape::of(running.addr()?)?;
    let targets: Vec<_> = scrape.series("target_info").collect();
    let [(labels, 1.0)] = targets[..] else {
        panic!("{targets:?}");
    };
    let pid = format!("process_pid=\"{}\"", running.pid());
    for label in [
        "service_name=\"shop\"",
        "deployment_environment_name=\"a \\\"b\\\"\"",
        "service_instance_id=\"",
        &pid,
    ] {
        assert!(labels.contains(label), "no {label} in {labels}");
    }
    Ok(())
}

#[test]
fn the_content_type_is_that_of_the_text_format_and_a_worker_reports_on_itself() -> Result<()> {
    let running = pull().start()?;
    let response = http::get(running.addr()?, "/metrics")?;
    let content_type = response.header("content-type");
    assert_eq!(
        content_type,
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let scrape = Scrape::parse(response.body)?;
    let memory = scrape.series("process_resident_memory_bytes");
    let memory: Vec<_> = memory.filter(|(_, bytes)| *bytes > 0.0).collect();
    assert_eq!(memory.len(), 3, "{}", scrape.text);
    let post = http::request(running.addr()?, "POST", "/metrics")?;
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD"))
    );
    Ok(())
}

#[test]
fn promtool_accepts_the_exposition() -> Result<()> {
    let running = pull().env("ERROR_RATE", "0.5").start()?;
    Load::on(running.addr()?).clients(4).requests(100).run()?;
    let scrape = Scrape::of(running.addr()?)?;
    for complaints in promtool::complaints(&scrape.text)? {
        assert_eq!(complaints, "");
    }
    Ok(())
}
