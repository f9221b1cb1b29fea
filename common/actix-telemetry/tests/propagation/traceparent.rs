//! The header `traceparent`.

use std::collections::HashSet;

#[cfg(feature = "client")]
use super::service::get;
use super::{PARENT, TRACE, service::passed_on, traceparent};

#[test]
fn a_valid_traceparent_is_continued_below_a_new_span() {
    for header in [
        "traceparent: 00-{}-01",
        "TraceParent: 00-{}-01",
        "TrAcEpArEnT: 00-{}-01",
        "TRACEPARENT: 00-{}-01",
        "traceparent:  00-{}-01",
        "traceparent:\t00-{}-01",
        "traceparent: 00-{}-01 ",
        "traceparent: 00-{}-01\t",
        "traceparent: \t 00-{}-01 \t",
        // A later version is taken as far as it is known.
        "traceparent: cc-{}-01",
        "traceparent: 01-{}-01-more",
        "traceparent: cc-{}-01-what-the-future-will-be-like",
    ] {
        let header = header.replace("{}", &format!("{TRACE}-{PARENT}"));
        let [trace, parent, flags] = traceparent(&[&header]);
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"), "{header}");
        assert_ne!(parent, PARENT, "{header}");
    }
}

#[test]
fn a_missing_malformed_or_repeated_traceparent_begins_a_new_trace() {
    let good = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    for headers in [
        vec![],
        vec!["trace-parent: 00-{}-01"],
        vec!["trace.parent: 00-{}-01"],
        vec!["traceparent: "],
        vec!["traceparent: 00"],
        vec!["traceparent: 00-0-0-0"],
        // The SDK's own parser would take these for numbers.
        vec!["traceparent: 00-1-2-01"],
        vec!["traceparent: +0-{}-01"],
        vec!["traceparent: .0-{}-01"],
        vec!["traceparent: 0.-{}-01"],
        vec!["traceparent: 0-{}-01"],
        vec!["traceparent: 000-{}-01"],
        vec!["traceparent: 0000-{}-01"],
        vec!["traceparent: ff-{}-01"],
        vec!["traceparent: cc-{}-01.what-the-future-will-be-like"],
        vec!["traceparent: 00-{}-01."],
        vec!["traceparent: 00-{}-01-"],
        vec!["traceparent: 00-{}-01-what-the-future-will-be-like"],
        vec!["traceparent: 00-{}-1"],
        vec!["traceparent: 00-{}-001"],
        vec!["traceparent: 00-{}-.0"],
        vec!["traceparent: 00-{}-0."],
        vec!["traceparent: 00-00000000000000000000000000000000-1234567890123456-01"],
        vec!["traceparent: 00-.2345678901234567890123456789012-1234567890123456-01"],
        vec!["traceparent: 00-1234567890123456789012345678901.-1234567890123456-01"],
        vec!["traceparent: 00-123456789012345678901234567890123-1234567890123456-01"],
        vec!["traceparent: 00-1234567890123456789012345678901-1234567890123456-01"],
        vec!["traceparent: 00-1234567890123456789012345678901A-1234567890123456-01"],
        vec!["traceparent: 00-1234567890123456789012345678901é-1234567890123456-01"],
        vec!["traceparent: 00-12345678901234567890123456789012-0000000000000000-01"],
        vec!["traceparent: 00-12345678901234567890123456789012-.234567890123456-01"],
        vec!["traceparent: 00-12345678901234567890123456789012-123456789012345.-01"],
        vec!["traceparent: 00-12345678901234567890123456789012-12345678901234567-01"],
        vec!["traceparent: 00-12345678901234567890123456789012-123456789012345-01"],
        vec![&good, &good],
        vec![
            "traceparent: 00-12345678901234567890123456789011-1234567890123456-01",
            &good,
        ],
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|header| header.replace("{}", &format!("{TRACE}-{PARENT}")))
            .collect();
        let mut headers: Vec<_> = headers.iter().map(String::as_str).collect();
        // Without its traceparent a tracestate means nothing.
        headers.push("tracestate: foo=1");
        let [trace, _, flags] = traceparent(&headers);
        assert!(!trace.contains("2345678901234567"), "{headers:?}");
        assert_ne!(trace, "0".repeat(32), "{headers:?}");
        assert_eq!(flags, "03", "a new trace is sampled and its id is random");
        assert_eq!(passed_on("tracestate", &headers), None, "{headers:?}");
    }
}

#[test]
fn each_request_of_a_trace_has_another_parent() {
    let header = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    let parents: HashSet<_> = (0..3).map(|_| traceparent(&[&header])[1].clone()).collect();
    assert_eq!(parents.len(), 3);
}

/// The suite asks for three calls within one request.
#[cfg(feature = "client")]
#[test]
fn each_call_of_a_request_has_another_parent_and_the_same_trace() {
    let begin = |header: &str| {
        let headers = [header].into_iter().filter(|header| !header.is_empty());
        let headers: Vec<_> = headers.collect();
        let received = get("/calls", &headers);
        let calls: Vec<_> = received.lines().map(|line| line.split('-')).collect();
        let traces: HashSet<_> = calls
            .iter()
            .cloned()
            .filter_map(|mut call| call.nth(1))
            .collect();
        let parents: HashSet<_> = calls
            .iter()
            .cloned()
            .filter_map(|mut call| call.nth(2))
            .collect();
        assert_eq!((traces.len(), parents.len()), (1, 3), "{received}");
        traces.into_iter().next().map(str::to_owned).unwrap()
    };
    assert_eq!(
        begin(&format!("traceparent: 00-{TRACE}-{PARENT}-01")),
        TRACE
    );
    let invalid = "0".repeat(32);
    for header in ["", &format!("traceparent: 00-{invalid}-{PARENT}-01")] {
        assert_ne!(begin(header), invalid);
    }
}

#[test]
fn the_sampled_and_the_random_flag_are_passed_on_and_others_are_not() {
    for (flags, expected) in [
        ("00", "00"),
        ("01", "01"),
        ("02", "02"),
        ("03", "03"),
        ("fd", "01"),
        ("ff", "03"),
    ] {
        let header = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}");
        assert_eq!(traceparent(&[&header])[2], expected, "{flags}");
    }
}
