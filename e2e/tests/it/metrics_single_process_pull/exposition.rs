//! The content of a scrape: names, labels, bounds, and a format that promtool accepts.

use std::collections::BTreeSet;

use anyhow::Result;
use e2e::{
    Load,
    http::{self, Connection},
    promtool::complaints,
};

use super::{
    ACTIVE, BUCKET, COUNT, HTTP_REQUESTS, Scrape, metrics_addr, pull, pull_with_metrics_port,
    settled,
};

/// The label names of each series of a metric.
fn label_names(scrape: &Scrape, metric: &str) -> BTreeSet<Vec<String>> {
    let names = |series: &str| {
        let labels = series.split_once('{').map_or("", |(_, labels)| labels);
        labels
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .collect()
    };
    scrape
        .series(metric)
        .map(|(series, _)| names(series))
        .collect()
}

#[test]
fn names_labels_and_bounds_are_exactly_those_of_the_contract() -> Result<()> {
    let running = pull().start()?;
    Load::on(running.addr()?).requests(10).run()?;
    let scrape = settled(&running, 10.0)?;
    let all = [
        "http_request_method",
        "http_response_status_code",
        "http_route",
        "url_scheme",
    ];
    let owned =
        |names: &[&str]| BTreeSet::from([names.iter().map(|name| (*name).to_owned()).collect()]);
    assert_eq!(label_names(&scrape, COUNT), owned(&all));
    assert_eq!(label_names(&scrape, HTTP_REQUESTS), owned(&all));
    assert_eq!(
        label_names(&scrape, ACTIVE),
        owned(&["http_request_method", "url_scheme"])
    );
    let values = [
        ("http_request_method", "GET"),
        ("http_response_status_code", "200"),
        ("http_route", "/"),
        ("url_scheme", "http"),
    ];
    assert_eq!(scrape.sum(COUNT, &values), 10.0);
    let bounds = [
        "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5",
        "7.5", "10", "+Inf",
    ];
    assert_eq!(scrape.series(BUCKET).count(), bounds.len());
    for bound in bounds {
        assert_eq!(
            scrape
                .series(BUCKET)
                .filter(|(series, _)| series.contains(&format!("le=\"{bound}\"")))
                .count(),
            1
        );
    }
    Ok(())
}

#[test]
fn all_metric_families_exist_from_the_start_or_the_first_request() -> Result<()> {
    let running = pull().start()?;
    let families = |text: &str| -> Vec<String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(str::to_owned).collect()
    };
    let process = [
        "process_cpu_seconds_total counter",
        "process_max_fds gauge",
        "process_open_fds gauge",
        "process_resident_memory_bytes gauge",
        "process_start_time_seconds gauge",
        "process_threads gauge",
        "process_virtual_memory_bytes gauge",
        "target_info gauge",
    ];
    let at_start = ["error_count_total counter", "num_requests_total counter"];
    assert_eq!(
        families(&Scrape::of(&running)?.text),
        [&at_start[..], &process].concat()
    );
    http::get(running.addr()?, "/")?;
    let scrape = settled(&running, 1.0)?;
    let after = [
        "error_count_total counter",
        "http_requests_total counter",
        "http_server_active_requests gauge",
        "http_server_request_duration_seconds histogram",
        "num_requests_total counter",
    ];
    assert_eq!(families(&scrape.text), [&after[..], &process].concat());
    assert!(
        scrape
            .text
            .contains("# HELP num_requests_total Number of requests\n")
    );
    assert!(
        scrape
            .text
            .contains("# HELP error_count_total Number of errors\n")
    );
    assert!(!scrape.text.contains("otel_scope"), "{}", scrape.text);
    Ok(())
}

#[test]
fn promtool_accepts_the_exposition() -> Result<()> {
    for program in [pull(), pull_with_metrics_port()] {
        let running = program
            .env("ERROR_RATE", "1")
            .env("OTEL_RESOURCE_ATTRIBUTES", "text=a%22b%5Cc%0Ad")
            .start()?;
        let at_start = Scrape::of(&running)?.text;
        Load::on(running.addr()?).clients(4).requests(20).run()?;
        http::request(running.addr()?, "FOO", "/")?;
        let after = settled(&running, 21.0)?.text;
        for text in [at_start, after] {
            for words in complaints(&text)? {
                assert_eq!(words, "", "{text}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_scraper_that_asks_for_text_or_protobuf_gets_text() -> Result<()> {
    for program in [pull(), pull_with_metrics_port()] {
        let running = program.start()?;
        for accept in ["text/plain", "*/*", "application/vnd.google.protobuf"] {
            let mut connection = Connection::open(metrics_addr(&running)?)?;
            connection.send(&format!(
                "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
            ))?;
            let response = connection.receive()?;
            let media_type = response.header("content-type");
            assert_eq!(media_type, Some("text/plain; version=0.0.4; charset=utf-8"));
            assert!(response.body.starts_with("# HELP "), "{response:?}");
        }
    }
    Ok(())
}

#[test]
fn target_info_identifies_the_service() -> Result<()> {
    let running = pull()
        .env("OTEL_SERVICE_NAME", "shop")
        .env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,deployment.environment.name=a%20b,1st=x,a:b=y",
        )
        .start()?;
    let scrape = Scrape::of(&running)?;
    let pid = running.pid().to_string();
    let labels = [
        ("service_name", "shop"),
        ("process_pid", &pid),
        ("deployment_environment_name", "a b"),
        ("key_1st", "x"),
        ("a_b", "y"),
    ];
    assert_eq!(scrape.sum("target_info", &labels), 1.0, "{}", scrape.text);
    assert_eq!(scrape.series("target_info").count(), 1);
    let default = Scrape::of(&pull().start()?)?;
    let labels = [("service_name", "metrics-single-process-pull")];
    assert_eq!(default.sum("target_info", &labels), 1.0, "{}", default.text);
    Ok(())
}

#[test]
fn process_metrics_are_those_of_the_process() -> Result<()> {
    let running = pull().option("--threads", 3).start()?;
    let scrape = Scrape::of(&running)?;
    let value = |name| scrape.sum(name, &[]);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    assert!(value("process_threads") >= 3.0);
    assert!((1.0..=value("process_max_fds")).contains(&value("process_open_fds")));
    assert!(value("process_start_time_seconds") > 1.6e9);
    Ok(())
}
