//! Tests of the readable text, also with hostile request data.

use collector::{
    Collector, Config, Format,
    proto::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{AggregationTemporality::Cumulative, metric::Data},
        trace::v1::{
            ResourceSpans, ScopeSpans, Span, Status,
            span::{Event, SpanKind},
            status::StatusCode,
        },
    },
};
use prost::Message;
use support::{
    PROTOBUF, Screen, attribute, counter, metrics_request, num_requests, post, printing, resource,
    scope, text, until,
};

mod support;

const HOSTILE: &str =
    "\x1b]0;title\x07\x1b[2J\n10:00:00Z forged line\r\u{9b}31m\u{202e}\u{2028}\0\u{7f}";

fn start() -> (Collector, Screen) {
    printing(Format::Text)
}

fn push(collector: &Collector, path: &str, request: &impl Message) {
    let answer = post(
        collector.http_addr(),
        path,
        PROTOBUF,
        &request.encode_to_vec(),
    );
    assert_eq!(answer.status, 200);
}

fn log(service: &str, instance: &str, record: LogRecord) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(service, instance, 4211)),
            scope_logs: vec![ScopeLogs {
                scope: scope("shop::routes"),
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn spans(instance: &str, pid: i64, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource("shop", instance, pid)),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// A span of trace 0101…, with times in milliseconds.
fn span(id: u8, parent: Option<u8>, kind: SpanKind, name: &str, (start, end): (u64, u64)) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        parent_span_id: parent.map(|parent| vec![parent; 8]).unwrap_or_default(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: start * 1_000_000,
        end_time_unix_nano: end * 1_000_000,
        ..Span::default()
    }
}

/// The lines without the leading time of each block.
fn lines_without_clock(screen: &Screen) -> Vec<String> {
    screen
        .text()
        .lines()
        .map(|line| match line.split_once("Z ") {
            Some((clock, rest)) if clock.len() == 12 => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect()
}

#[test]
fn a_block_shows_the_increase_the_workers_total_and_the_sum() {
    let (collector, screen) = start();
    push(
        &collector,
        "/v1/metrics",
        &num_requests("aaaaaaaa-bbbb", (1, 2), 2),
    );
    push(
        &collector,
        "/v1/metrics",
        &num_requests("cccccccc-dddd", (1, 2), 1),
    );
    push(
        &collector,
        "/v1/metrics",
        &num_requests("aaaaaaaa-bbbb", (1, 3), 5),
    );
    collector.stop();
    let expected = [
        "shop pid 1 (aaaaaaaa) pushed metrics",
        "  num_requests  +2 → 2  |  sum over 1 worker: 2",
        "shop pid 1 (cccccccc) pushed metrics",
        "  num_requests  +1 → 1  |  sum over 2 workers: 3",
        "shop pid 1 (aaaaaaaa) pushed metrics",
        "  num_requests  +3 → 5  |  sum over 2 workers: 6",
    ];
    assert_eq!(lines_without_clock(&screen), expected);
}

#[test]
fn beside_the_live_view_the_text_is_brief() {
    let screen = Screen::default();
    let config = Config {
        output: Box::new(screen.clone()),
        view: true,
        ..Config::default()
    };
    let collector = Collector::start(config).expect("the collector starts");
    let attributes = ["http.route", "url.scheme"].map(|key| attribute(key, "x"));
    let named = |name: &str| counter(name, Cumulative, (1, 2), 7);
    let mut jobs = named("jobs");
    if let Some(Data::Sum(sum)) = &mut jobs.data {
        sum.data_points[0].attributes = attributes.to_vec();
    }
    let metrics = vec![named("worker.spawns"), named("process.cpu.time"), jobs];
    push(
        &collector,
        "/v1/metrics",
        &metrics_request(resource("shop", "aaaaaaaa", 1), metrics),
    );
    let record = LogRecord {
        body: text("it broke"),
        attributes: attributes.to_vec(),
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        ..LogRecord::default()
    };
    push(&collector, "/v1/logs", &log("shop", "aaaaaaaa", record));
    collector.stop();
    let printed = screen.text();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert_eq!(lines[1], "  jobs {x}  +7 → 7  |  sum over 1 worker: 7");
    let expected = format!(
        "shop::routes it broke {{url.scheme=x}} trace_id={}",
        "ab".repeat(16)
    );
    assert!(lines[3].ends_with(&expected), "{printed}");
}

#[test]
fn nothing_is_printed_when_nothing_changed() {
    let (collector, screen) = start();
    push(&collector, "/v1/metrics", &num_requests("a", (1, 2), 2));
    for time in 3..9 {
        push(&collector, "/v1/metrics", &num_requests("a", (1, time), 2));
    }
    collector.stop();
    assert_eq!(screen.text().lines().count(), 2);
}

#[test]
fn a_log_record_shows_severity_scope_body_attributes_and_ids() {
    let (collector, screen) = start();
    let record = LogRecord {
        time_unix_nano: 3_723_004_000_000,
        severity_number: 17,
        severity_text: "ERROR".to_owned(),
        body: text("it broke"),
        attributes: vec![attribute("user", "x y"), attribute("n", "3")],
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        ..LogRecord::default()
    };
    push(&collector, "/v1/logs", &log("shop", "aaaaaaaa", record));
    collector.stop();
    let expected = [
        "shop pid 4211 (aaaaaaaa) pushed 1 log record".to_owned(),
        format!(
            "  01:02:03.004Z ERROR shop::routes it broke {{n=3, user=\"x y\"}} trace_id={} span_id={}",
            "ab".repeat(16),
            "cd".repeat(8)
        ),
    ];
    let printed = screen.text();
    assert_eq!(
        printed
            .lines()
            .next()
            .and_then(|line| line.split_once(' '))
            .map(|(_, rest)| rest),
        Some(expected[0].as_str())
    );
    assert_eq!(printed.lines().nth(1), Some(expected[1].as_str()));
}

#[test]
fn log_records_of_all_scopes_are_sorted_by_time() {
    let (collector, screen) = start();
    let records = |first: u64, bodies: [&str; 2]| {
        let record = |(time, body)| LogRecord {
            time_unix_nano: time,
            body: text(body),
            ..LogRecord::default()
        };
        (first..).step_by(2).zip(bodies).map(record).collect()
    };
    let mut request = log("shop", "aaaaaaaa", LogRecord::default());
    request.resource_logs[0].scope_logs = [records(1, ["a", "c"]), records(2, ["b", "d"])]
        .into_iter()
        .map(|log_records| ScopeLogs {
            log_records,
            ..ScopeLogs::default()
        })
        .collect();
    push(&collector, "/v1/logs", &request);
    collector.stop();
    let printed = screen.text();
    let shown: Vec<_> = printed.lines().skip(1).map(str::trim_end).collect();
    let bodies: Vec<_> = shown
        .iter()
        .filter_map(|line| line.chars().last())
        .collect();
    assert_eq!(bodies, ['a', 'b', 'c', 'd'], "{printed}");
}

#[test]
fn a_trace_over_two_workers_is_one_tree() {
    let (collector, screen) = start();
    let mut failed = span(3, Some(2), SpanKind::Server, "GET /", (3, 8));
    failed.status = Some(Status {
        code: StatusCode::Error.into(),
        message: "internal".to_owned(),
    });
    failed.events = vec![Event {
        name: "exception".to_owned(),
        attributes: vec![attribute("exception.message", "no luck")],
        ..Event::default()
    }];
    push(
        &collector,
        "/v1/traces",
        &spans("bbbbbbbb", 2, vec![failed]),
    );
    let mut call = span(2, Some(1), SpanKind::Client, "GET", (2, 9));
    call.attributes = vec![attribute("error.type", "timeout")];
    call.status = Some(Status {
        code: StatusCode::Error.into(),
        message: "no answer within 7 ms".to_owned(),
    });
    let mut server = span(1, None, SpanKind::Server, "GET /chain", (0, 10));
    server.attributes = vec![
        attribute("http.response.status_code", "502"),
        attribute("error.type", "502"),
    ];
    server.status = Some(Status {
        code: StatusCode::Error.into(),
        ..Status::default()
    });
    let caller = vec![
        call,
        span(4, Some(1), SpanKind::Internal, "render", (9, 10)),
        server,
    ];
    push(&collector, "/v1/traces", &spans("aaaaaaaa", 1, caller));
    until("the tree is printed", || screen.text().contains("render"));
    let expected = [
        "trace 01010101010101010101010101010101  4 spans of 2 workers, 10.0 ms",
        "  GET /chain  server 502  10.0 ms  +0 s  ERROR  [shop pid 1 (aaaaaaaa)]",
        "  ├─ GET  client  7.0 ms  +2.0 ms  ERROR timeout: no answer within 7 ms  [shop pid 1 (aaaaaaaa)]",
        "  │  └─ GET /  server  5.0 ms  +3.0 ms  ERROR: internal  [shop pid 2 (bbbbbbbb)]",
        "  │       • exception: no luck",
        "  └─ render  internal  1.0 ms  +9.0 ms  [shop pid 1 (aaaaaaaa)]",
    ];
    assert_eq!(lines_without_clock(&screen), expected);

    let late = span(5, Some(3), SpanKind::Internal, "late work", (4, 5));
    push(&collector, "/v1/traces", &spans("bbbbbbbb", 2, vec![late]));
    collector.stop();
    let lines = lines_without_clock(&screen);
    assert!(
        lines[6].ends_with("late 1 span of 1 worker, 1.0 ms"),
        "{}",
        lines[6]
    );
    assert!(
        lines[7].contains("late work") && lines[7].contains("child of 0303"),
        "{}",
        lines[7]
    );
}

#[test]
fn traces_that_arrive_together_are_sorted_by_start() {
    let (collector, screen) = start();
    let traces = [5_u8, 1, 4, 2, 3].map(|order| Span {
        // The ids are in reverse order.
        trace_id: vec![9 - order; 16],
        ..span(
            order,
            None,
            SpanKind::Server,
            &format!("no. {order}"),
            (order.into(), 9),
        )
    });
    push(&collector, "/v1/traces", &spans("a", 1, traces.to_vec()));
    collector.stop();
    let printed = screen.text();
    let found = printed.lines().filter(|line| line.contains("no. "));
    let found: Vec<_> = found.map(|line| &line[2..7]).collect();
    assert_eq!(
        found,
        ["no. 1", "no. 2", "no. 3", "no. 4", "no. 5"],
        "{printed}"
    );
}

#[test]
fn spans_in_a_parent_cycle_are_printed() {
    let (collector, screen) = start();
    let cycle = vec![
        span(1, Some(2), SpanKind::Internal, "one", (0, 1)),
        span(2, Some(1), SpanKind::Internal, "two", (0, 1)),
        span(3, Some(3), SpanKind::Internal, "own parent", (0, 1)),
    ];
    push(&collector, "/v1/traces", &spans("a", 1, cycle));
    collector.stop();
    let printed = screen.text();
    assert!(
        ["one", "two", "own parent"]
            .iter()
            .all(|name| printed.contains(name)),
        "{printed}"
    );
    assert_eq!(printed.lines().count(), 4, "{printed}");
}

#[test]
fn hostile_data_prints_no_control_characters_and_forges_no_line() {
    let (collector, screen) = start();
    let mut metric = counter(HOSTILE, Cumulative, (1, 2), 1);
    metric.unit = HOSTILE.to_owned();
    push(
        &collector,
        "/v1/metrics",
        &metrics_request(resource(HOSTILE, HOSTILE, 1), vec![metric]),
    );
    let record = LogRecord {
        severity_text: HOSTILE.to_owned(),
        body: text(HOSTILE),
        attributes: vec![attribute(HOSTILE, HOSTILE)],
        event_name: HOSTILE.to_owned(),
        trace_id: HOSTILE.as_bytes().to_vec(),
        ..LogRecord::default()
    };
    push(&collector, "/v1/logs", &log(HOSTILE, HOSTILE, record));
    let mut evil = span(1, None, SpanKind::Server, HOSTILE, (0, 1));
    evil.status = Some(Status {
        code: StatusCode::Error.into(),
        message: HOSTILE.to_owned(),
    });
    evil.attributes = ["http.response.status_code", "error.type"]
        .map(|name| attribute(name, HOSTILE))
        .to_vec();
    evil.events = vec![Event {
        name: HOSTILE.to_owned(),
        ..Event::default()
    }];
    push(&collector, "/v1/traces", &spans(HOSTILE, 1, vec![evil]));
    collector.stop();
    let printed = screen.text();
    let bad: Vec<char> = printed
        .chars()
        .filter(|character| {
            character.is_control() && *character != '\n' || "\u{202e}\u{2028}".contains(*character)
        })
        .collect();
    assert_eq!(bad, [], "{printed}");
    assert!(
        !printed
            .lines()
            .any(|line| line.starts_with("10:00:00Z forged")),
        "{printed}"
    );
    // Three lines for the metric, two for the log record, three for the trace with its event.
    assert_eq!(printed.lines().count(), 8, "{printed}");
}
