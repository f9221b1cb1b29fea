//! Metrics of a Prometheus target in the live view.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use collector::{Collector, Config, Scrape};
use serde_json::Value;
use support::{until, view};

mod support;

const TEXT: &str = "\
# TYPE jobs_total counter
jobs_total{queue=\"<b>\"} 7
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_route=\"/\",error_type=\"\",le=\"0.1\"} 3
http_server_request_duration_seconds_bucket{http_route=\"/\",error_type=\"\",le=\"+Inf\"} 4
http_server_request_duration_seconds_sum{http_route=\"/\",error_type=\"\"} 1.5
http_server_request_duration_seconds_count{http_route=\"/\",error_type=\"\"} 4
# TYPE rpc_seconds summary
rpc_seconds{quantile=\"0.5\"} 0.1
rpc_seconds_sum 3
rpc_seconds_count 2
# TYPE worker_up gauge
worker_up{slot=\"0\"} 1
worker_pid{slot=\"0\"} 4711
worker_requests_total{slot=\"0\"} 4
# TYPE target_info gauge
target_info{service_name=\"shop\",process_pid=\"4700\"} 1
";

fn start(scrape: Scrape) -> Collector {
    let config = Config {
        view: true,
        keep_records: 0,
        scrape: vec![scrape],
        ..Config::silent()
    };
    Collector::start(config).expect("the collector starts")
}

fn api(collector: &Collector, path: &str) -> Value {
    view::api(collector.http_addr(), &format!("/api/{path}"))
}

fn wait_for_workers(collector: &Collector) -> Value {
    let has_workers = || api(collector, "workers")["workers"][0].is_object();
    until("the workers are shown", has_workers);
    api(collector, "workers")["workers"].clone()
}

/// A target that answers every scrape with this status and text. Returns the heads of its requests.
fn target(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
            let head: Vec<_> = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            seen.lock().expect("no panic").push(head.join("\n"));
            let length = TEXT.len();
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: {length}\r\n\r\n{TEXT}");
            // The collector may be gone.
            let _ = stream.write_all(head.as_bytes());
        }
    });
    (address, heads)
}

#[test]
fn a_target_is_scraped_and_shown_under_the_names_of_opentelemetry() {
    let (address, heads) = target("200 OK");
    let url = format!("http://{address}/metrics?x=1");
    let collector = start(Scrape::url(&url).expect("a URL"));
    let workers = wait_for_workers(&collector);
    assert_eq!(
        (&workers[0]["slot"], &workers[0]["pid"]),
        (&0.into(), &"4711".into())
    );
    assert_eq!(workers[0]["service"], "shop");
    assert_eq!(
        workers.as_array().map(Vec::len),
        Some(1),
        "the target is no worker"
    );
    let cards = api(&collector, "metrics");
    let cards: Vec<_> = cards.as_array().expect("a list").iter().collect();
    let names: Vec<_> = cards
        .iter()
        .map(|card| card["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        ["jobs_total", "rpc_seconds", "http.server.request.duration"]
    );
    assert_eq!(
        (&cards[0]["kind"], &cards[0]["total"]),
        (&"counter".into(), &7.0.into())
    );
    assert_eq!(cards[2]["total"], 4.0);
    assert_eq!(
        cards[2]["series"][0]["attributes"],
        serde_json::json!([["http.route", "/"]])
    );
    let received = collector.received();
    assert_eq!(received.sum("rpc_seconds", &[]), 3.0);
    assert_eq!(
        api(&collector, "losses")["requests"],
        0,
        "nothing was pushed"
    );
    let head = heads.lock().expect("no panic")[0].clone();
    assert!(head.starts_with("GET /metrics?x=1 HTTP/1.1"), "{head}");
    assert!(head.contains(&format!("host: {address}")), "{head}");
}

#[test]
fn a_target_that_fails_is_asked_again() {
    let (address, heads) = target("503 Service Unavailable");
    let collector = start(Scrape::url(&format!("http://{address}/metrics")).expect("a URL"));
    until("it is asked again", || {
        heads.lock().expect("no panic").len() >= 2
    });
    assert_eq!(collector.received().data_points(), 0);
}

#[test]
fn a_program_shows_its_own_text() {
    let collector = start(Scrape::text(|| Ok::<_, std::io::Error>(TEXT.to_owned())));
    assert_eq!(wait_for_workers(&collector)[0]["state"], "serving");
}

#[test]
fn what_is_no_http_url_is_refused() {
    for url in [
        "",
        "localhost:5100",
        "https://localhost/metrics",
        "http://a:b@localhost/",
    ] {
        let error = Scrape::url(url).expect_err(url);
        assert_eq!(
            error,
            "expected a URL such as http://localhost:5100/metrics"
        );
    }
}
