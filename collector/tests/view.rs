//! The live view, as a browser and a script get it.

use std::net::SocketAddr;

use collector::{Collector, Config};
use serde_json::json;
use support::view::{
    TRACE, api, attribute, get, get_with, log, now, page, resource, send, span, start, traces,
};

mod support;

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[31m\n";

#[test]
fn the_page_shows_workers_traces_logs_and_metrics() {
    let collector = start();
    let address = collector.http_addr();
    assert!(page(address, "/").contains("nothing has arrived yet"));
    send(
        address,
        "traces",
        &traces("4711", &[span(1, "/orders", "500", 20)]),
    );
    send(address, "logs", &log("4711", 17, "the order failed"));
    let points = json!([{"timeUnixNano": now().to_string(), "asInt": "12"}]);
    let metric = json!({"name": "orders", "unit": "{order}", "sum":
        {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}});
    let metrics = json!({"resourceMetrics": [
        {"resource": resource("4711"), "scopeMetrics": [{"metrics": [metric]}]}]});
    send(address, "metrics", &metrics);

    let page = page(address, &format!("/?trace={TRACE}"));
    for part in [
        "<h1>shop</h1>",
        "pid 4711",
        "GET /orders",
        "the order failed",
        "orders",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        // The waterfall.
        "<rect class=\"w0\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(api(address, "/api/workers")["workers"][0]["pid"], "4711");
    assert_eq!(api(address, "/api/metrics")[0]["total"], 12.0);
    let waterfall = api(address, &format!("/api/traces/{TRACE}"));
    assert_eq!(waterfall["steps"][0]["logs"][0]["body"], "the order failed");
    assert_eq!(get(address, "/api/traces/0123").status, 404);
    assert_eq!(get(address, "/nowhere").status, 404);
}

/// Cumulative data points of a metric, each with attributes.
fn metric(
    kind: &str,
    name: &str,
    points: &[(serde_json::Value, &[(&str, &str)])],
) -> serde_json::Value {
    let points: Vec<_> = points
        .iter()
        .map(|(point, attributes)| {
            let mut point = point.clone();
            point["timeUnixNano"] = json!(now().to_string());
            let attributes = attributes.iter().map(|(key, value)| attribute(key, value));
            point["attributes"] = attributes.collect();
            point
        })
        .collect();
    let data = json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points});
    json!({"name": name, kind: data})
}

#[test]
fn the_page_shows_each_route_and_what_senders_lost() {
    let collector = start();
    let address = collector.http_addr();
    let durations = |fast: u64, slow: u64| {
        json!({"count": (fast + slow).to_string(), "sum": 1.0, "explicitBounds": [0.1, 0.2],
            "bucketCounts": [fast.to_string(), slow.to_string(), "0"]})
    };
    let orders = [("http.request.method", "GET"), ("http.route", "/orders")];
    let failed = [&orders[..], &[("error.type", "500")]].concat();
    let requests = metric(
        "histogram",
        "http.server.request.duration",
        &[
            (durations(90, 0), &orders),
            (durations(0, 10), &failed),
            (durations(1, 0), &[("http.request.method", "_OTHER")]),
        ],
    );
    let number = |number: u64| json!({"asInt": number.to_string()});
    let spans = metric(
        "sum",
        "otel.sdk.processor.span.processed",
        &[
            (number(7), &[("error.type", "queue_full")]),
            (number(90), &[]),
        ],
    );
    let capped = metric(
        "sum",
        "orders",
        &[(number(3), &[("otel.metric.overflow", "true")])],
    );
    let incidents = metric(
        "sum",
        "multiprocess_incidents_total",
        &[
            (number(2), &[("kind", "in_memory")]),
            (number(0), &[("kind", "series_limit")]),
        ],
    );
    let scope = json!({"metrics": [requests, spans, capped, incidents]});
    let metrics =
        json!({"resourceMetrics": [{"resource": resource("1"), "scopeMetrics": [scope]}]});
    send(address, "metrics", &metrics);

    let service = api(address, "/api/service");
    let [first, second] = &service["routes"].as_array().expect("a list")[..] else {
        panic!("{service}");
    };
    assert_eq!(
        (&first["route"], &first["requests"], &first["errors"]),
        (&json!("/orders"), &json!(100.0), &json!(10.0))
    );
    let p99 = first["p99"].as_f64().expect("a quantile");
    assert!((0.1..=0.2).contains(&p99), "{p99}");
    assert_eq!(second["method"], "_OTHER");
    assert_eq!(
        api(address, "/api/losses")["by_senders"],
        json!({
            "incidents of the metric store: in memory": 2.0,
            "measurements of orders in no series of their own": 3.0,
            "processor.span.processed: queue_full": 7.0,
        })
    );
    let page = page(address, "/");
    for part in [
        "GET /orders",
        "_OTHER no route",
        "10 %",
        "(counted by senders)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn filters_select_traces_and_records() {
    let collector = start();
    let address = collector.http_addr();
    let spans = [
        span(1, "/a", "200", 1),
        span(2, "/a", "503", 30),
        span(3, "/b", "200", 300),
    ];
    send(address, "traces", &traces("1", &spans));
    for (query, expected) in [
        ("", vec!["GET /a", "GET /a", "GET /b"]),
        ("?route=/b", vec!["GET /b"]),
        ("?status=503", vec!["GET /a"]),
        ("?errors=1", vec!["GET /a"]),
        ("?min_ms=20&route=%2Fa", vec!["GET /a"]),
        ("?min_ms=nonsense&status=404", vec![]),
    ] {
        let found = api(address, &format!("/api/traces{query}"));
        let rows = found.as_array().expect("a list").iter();
        let mut names: Vec<_> = rows
            .map(|row| row["name"].as_str().expect("a name"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{query}");
    }
    for (severity, body) in [(9, "Tea"), (13, "no tea"), (17, "coffee")] {
        send(address, "logs", &log("1", severity, body));
    }
    for (query, expected) in [
        ("", vec!["coffee", "no tea", "Tea"]),
        ("?level=warn", vec!["coffee", "no tea"]),
        ("?text=TEA&level=info", vec!["no tea", "Tea"]),
    ] {
        let found = api(address, &format!("/api/logs{query}"));
        let rows = found.as_array().expect("a list").iter();
        let bodies: Vec<_> = rows
            .map(|row| row["body"].as_str().expect("a body"))
            .collect();
        assert_eq!(bodies, expected, "{query}");
    }
}

#[test]
fn received_text_never_becomes_markup() {
    let collector = start();
    let address = collector.http_addr();
    let mut hostile = span(1, HOSTILE, "200", 1);
    let long = HOSTILE.repeat(30_000);
    hostile["attributes"] = json!([attribute(HOSTILE, &long), attribute("http.route", HOSTILE)]);
    hostile["events"] = json!([{"name": HOSTILE, "attributes": [attribute(HOSTILE, HOSTILE)]}]);
    let mut sent = traces(HOSTILE, &[hostile]);
    sent["resourceSpans"][0]["resource"] = json!({"attributes":
        [attribute("service.name", HOSTILE), attribute("process.pid", HOSTILE)]});
    send(address, "traces", &sent);
    let mut sent = log("1", 17, &long);
    sent["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["severityText"] = json!(HOSTILE);
    send(address, "logs", &sent);
    let points = json!([{"asDouble": "NaN", "attributes": [attribute(HOSTILE, HOSTILE)]}]);
    let metric = json!({"name": HOSTILE, "unit": HOSTILE, "gauge": {"dataPoints": points}});
    let metrics = json!({"resourceMetrics": [
        {"resource": resource("1"), "scopeMetrics": [{"metrics": [metric]}]}]});
    send(address, "metrics", &metrics);

    for path in [
        "/",
        &format!("/?trace={TRACE}"),
        "/?text=%3Cscript%3E%22&route=%22%3E%3Cscript%3E",
    ] {
        let page = page(address, path);
        assert_eq!(page.matches("<script").count(), 1, "its own: {page}");
        assert!(page.len() < 1_000_000, "{}", page.len());
        for raw in ['\u{202e}', '\u{1b}'] {
            assert!(!page.contains(raw), "{path}");
        }
        assert!(
            !page.contains(" style=") && !page.contains("onclick"),
            "{path}"
        );
    }
    let answer = get(address, "/api/logs");
    assert!(
        answer.head.contains("content-type: application/json"),
        "{}",
        answer.head
    );
    assert!(
        answer.head.contains("x-content-type-options: nosniff"),
        "{}",
        answer.head
    );
}

#[test]
fn an_exemplar_leads_to_its_trace() {
    let collector = start();
    let address = collector.http_addr();
    let exemplar = json!({"timeUnixNano": "2", "asDouble": 0.012, "traceId": TRACE, "spanId": "00f067aa0ba902b7"});
    let histogram = json!({"count": "1", "sum": 0.012, "bucketCounts": ["1"], "exemplars": [exemplar],
        "timeUnixNano": now().to_string()});
    let number = json!({"asInt": "3", "exemplars": [exemplar], "timeUnixNano": now().to_string()});
    let sent = json!({"resourceMetrics": [{"resource": resource("1"), "scopeMetrics": [{"metrics": [
        {"name": "took", "unit": "s", "histogram":
            {"aggregationTemporality": 2, "dataPoints": [histogram]}},
        {"name": "level", "gauge": {"dataPoints": [number]}},
    ]}]}]});
    send(address, "metrics", &sent);
    for card in api(address, "/api/metrics").as_array().expect("a list") {
        assert_eq!(card["exemplars"][0]["trace_id"], TRACE, "{card}");
    }
    let page = page(address, "/?level=warn");
    let link = format!("<a href=\"?level=warn&amp;trace={TRACE}#waterfall\"");
    assert!(
        page.contains(&link) && page.contains(">12 ms</a>"),
        "{page}"
    );
}

#[test]
fn another_host_or_origin_is_refused() {
    let collector = start();
    let address = collector.http_addr();
    let port = address.port();
    for (headers, expected) in [
        (format!("Host: localhost:{port}\r\n"), 200),
        (format!("Host: [::1]:{port}\r\n"), 200),
        (format!("Host: shop.localhost:{port}\r\n"), 200),
        (
            format!("Host: {address}\r\nOrigin: http://{address}\r\n"),
            200,
        ),
        (
            format!("Host: {address}\r\nOrigin: http://localhost:1\r\n"),
            403,
        ),
        (format!("Host: {address}\r\nOrigin: null\r\n"), 403),
        (format!("Host: evil.example:{port}\r\n"), 403),
        (format!("Host: 127.0.0.1.evil.example:{port}\r\n"), 403),
        (
            "Host: evil.example@127.0.0.1\r\nOrigin: http://a\r\n".to_owned(),
            403,
        ),
        (String::new(), 403),
    ] {
        for path in ["/", "/api/logs", "/events?", "/view.js"] {
            if path == "/events?" && expected == 200 {
                continue;
            }
            assert_eq!(
                get_with(address, path, &headers).status,
                expected,
                "{path} {headers}"
            );
        }
    }
    let head = get(address, "/").head;
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    assert!(!head.contains("unsafe"), "{head}");
}

#[test]
fn the_receiver_is_the_same_with_and_without_the_view() {
    let collector = start();
    let answer = get(collector.http_addr(), "/v1/traces");
    assert_eq!(answer.status, 405);
    let without = Collector::start(Config::silent()).expect("the collector starts");
    assert_eq!(get(without.http_addr(), "/").status, 404);
}

#[test]
fn what_is_kept_is_limited_and_what_fell_out_is_counted() {
    let collector = start();
    let address = collector.http_addr();
    for batch in 0..25 {
        let ids = batch * 1_000 + 1..=(batch + 1) * 1_000;
        let spans: Vec<_> = ids.map(|id| span(id, "/a", "200", 1)).collect();
        send(address, "traces", &traces("1", &spans));
    }
    let losses = api(address, "/api/losses");
    assert_eq!(
        (losses["spans"].as_u64(), losses["forgotten_spans"].as_u64()),
        (Some(20_000), Some(5_000))
    );
    // A few large ones are as much.
    let large = span(30_001, &"x".repeat(4_000_000), "200", 1);
    for _ in 0..4 {
        let mut large = large.clone();
        large["spanId"] = json!(format!("{:016x}", now()));
        send(address, "traces", &traces("1", &[large]));
    }
    let kept = api(address, "/api/losses")["spans"].as_u64();
    assert!(kept.is_some_and(|kept| kept <= 2), "{kept:?}");
}

#[test]
fn a_second_address_has_the_view_too_and_is_left_out_if_it_is_taken() {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let at = |address| {
        let config = Config {
            view: true,
            view_address: Some(address),
            ..Config::silent()
        };
        Collector::start(config).expect("the collector starts")
    };
    let first = at(free);
    assert_ne!(first.view_addr(), first.http_addr());
    for address in [first.view_addr(), first.http_addr()] {
        assert_eq!(get(address, "/").status, 200);
    }
    let second = at(first.view_addr());
    assert_eq!(second.view_addr(), second.http_addr());
    assert_eq!(get(second.view_addr(), "/").status, 200);
}
