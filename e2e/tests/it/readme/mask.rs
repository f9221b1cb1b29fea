//! Masks the parts of a line that differ between runs, in the document and in the output.

use std::sync::LazyLock;

use regex::Regex;

/// Patterns, each with its replacement.
const VOLATILE: [(&str, &str); 26] = [
    // Columns are as wide as their numbers.
    (r" {2,}", " "),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\b\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    // The start of an instance id.
    (r"\([0-9a-f]{8}\)", "(ID)"),
    (r"\b(trace_id=|trace )[0-9a-f]{32}\b", "${1}ID"),
    (r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-", "00-ID-ID-"),
    (r"\d+ spans? of \d+ workers?", "SPANS"),
    (r"\bspan_id=[0-9a-f]{16}\b", "span_id=ID"),
    // Process ids, wherever the programs name one.
    (r"\b(pid|master|process|from|workers) \d+( \d+)*", "$1 PID"),
    (r#"process_pid="\d+""#, "process_pid=PID"),
    (r#"process_command="[^"]+""#, "process_command=PATH"),
    (r#"host_name="[^"]+""#, "host_name=HOST"),
    (r"(TIME +[A-Z]+ +)\d+ ", "${1}PID "),
    // Ports that the embedded collector found free, and what was left for a client.
    (
        r"(live view on http:|embedded collector: http:|, gRPC http:)//127\.0\.0\.1:\d+",
        "$1//ADDRESS",
    ),
    (r"directory \S+", "directory PATH"),
    (r"pushed \d+ log records?", "pushed N log records"),
    (
        r"\d+ of \d+ (.*) were lost: \d+ did not fit the queue, \d+ were in failed exports, \d+ were",
        "$1 were lost",
    ),
    (r"\d+ more are lost, \d+ in total", "N are lost"),
    (r"\bcurl/[0-9.]+", "curl/VERSION"),
    (
        r#""(startTimeUnixNano|timeUnixNano|asInt|intValue)":"\d+""#,
        "$1 N",
    ),
    // How long something took, and how quick the kernel was with buckets of less than a second.
    (r"\d+(\.\d+)? (µs|ms|s)\b", "TIME"),
    (r"duration=[0-9.e-]+", "duration=TIME"),
    (
        r#"(_sum(\{.*\})?|le="0\.\d+".*\}|process_\w+(\{.*\})?) [0-9.e+-]+$"#,
        "$1 N",
    ),
    // Half of the requests meet an error, and the kernel chooses the worker for each.
    (r"error_count(\w*) .*", "error_count$1 N"),
    (
        r"(\+\d+ → \d+|now \d+) \| sum over \d+ workers?: \d+",
        "SUMS",
    ),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compiled = VOLATILE.iter();
    compiled
        .map(|(pattern, stands)| (Regex::new(pattern).unwrap(), *stands))
        .collect()
});

/// The line with all parts masked that differ between runs.
pub(crate) fn mask(line: &str) -> String {
    let mut masked = line.trim_end().to_owned();
    for (pattern, stands) in PATTERNS.iter() {
        masked = pattern.replace_all(&masked, *stands).into_owned();
    }
    masked
}

#[test]
fn numbers_that_a_reader_relies_on_are_not_masked() {
    for line in [
        "num_requests_total 5.0",
        "worker_exits_total{kind=\"signal\",value=\"9\"} 1.0",
        "GET / 200",
        "metrics-push: ready on http://127.0.0.1:5100",
    ] {
        assert_eq!(mask(line), line);
    }
}

#[test]
fn values_that_differ_between_runs_are_masked() {
    for (one, other) in [
        ("Hello from 24304!", "Hello from 7!"),
        (
            "[2026-11-22T11:52:34Z ERROR 23940 m] no",
            "[2027-01-02T03:04:05Z ERROR 9 m] no",
        ),
        (
            "  num_requests      +4 → 4  |  sum over 1 worker: 4",
            "  num_requests +12 → 16  |  sum over 2 workers: 24",
        ),
    ] {
        assert_eq!(mask(one), mask(other));
    }
}
