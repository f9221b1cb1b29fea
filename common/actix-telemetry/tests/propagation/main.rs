//! What a service passes on of the context that comes in: the cases of the test suites
//! of W3C Trace Context level 2 (<https://github.com/w3c/trace-context/tree/main/test>)
//! and W3C Baggage (<https://github.com/w3c/baggage/tree/main/test>), and more, sent to a
//! real server.

mod baggage;
mod service;

use std::collections::HashSet;

use self::service::passed_on;

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

/// Trace id, parent id and flags of the service's own call.
fn traceparent(headers: &[&str]) -> [String; 3] {
    let sent = passed_on("traceparent", headers).unwrap();
    let fields: Vec<_> = sent.split('-').collect();
    let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
    assert_eq!((fields[0], lengths.as_slice()), ("00", &[2, 32, 16, 2][..]));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    assert!(sent.bytes().all(is_hex), "{sent}");
    [fields[1], fields[2], fields[3]].map(str::to_owned)
}

/// The list that is passed on where these lists come in.
fn tracestate(lists: &[&str]) -> Option<String> {
    let mut headers = vec![format!("traceparent: 00-{TRACE}-{PARENT}-00")];
    headers.extend(lists.iter().map(|list| format!("tracestate: {list}")));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    assert_eq!(traceparent(&headers)[0], TRACE, "{lists:?}");
    passed_on("tracestate", &headers)
}

#[test]
fn a_valid_traceparent_is_continued_below_a_new_span() {
    for header in [
        "traceparent: 00-{}-01",
        "TraceParent: 00-{}-01",
        "TRACEPARENT: 00-{}-01",
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
fn a_malformed_or_repeated_traceparent_begins_a_new_trace() {
    let good = format!("traceparent: 00-{TRACE}-{PARENT}-01");
    for headers in [
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

#[test]
fn a_valid_tracestate_is_passed_on_as_it_came() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let printable = (' '..='~').filter(|char| ![',', '='].contains(char));
    let value: String = printable.collect();
    let members = |count: usize| (1..=count).map(|n| format!("bar{n:02}={n:02}"));
    let thirty_two: Vec<_> = members(32).collect();
    for (lists, expected) in [
        (vec!["foo=1,bar=2"], "foo=1,bar=2"),
        (
            vec!["foo=1,bar=2", "rojo=1", "baz=3"],
            "foo=1,bar=2,rojo=1,baz=3",
        ),
        (vec!["foo=1", ""], "foo=1"),
        (vec!["", "foo=1"], "foo=1"),
        // One of two equal keys may be dropped, or none.
        (vec!["foo=1,foo=2"], "foo=1,foo=2"),
        (vec!["\t foo=1 \t"], "foo=1"),
        (vec!["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (vec!["a=1 ,\t, b=2"], "a=1,b=2"),
        (vec!["foo@=1,bar=2"], "foo@=1,bar=2"),
        (vec!["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
        (vec!["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
        (vec!["0a=a b"], "0a=a b"),
        (vec![&format!("{key}={value}")], &format!("{key}={value}")),
        (
            vec![&format!("{key}@a-z0-9_-*/={value}")],
            &format!("{key}@a-z0-9_-*/={value}"),
        ),
        (
            vec!["foo=1", &format!("{}=1", "z".repeat(256))],
            &format!("foo=1,{}=1", "z".repeat(256)),
        ),
        (
            vec![&format!("{}@{}=1", "t".repeat(241), "v".repeat(14))],
            &format!("{}@{}=1", "t".repeat(241), "v".repeat(14)),
        ),
        (
            vec![&thirty_two[..10].join(","), &thirty_two[10..].join(",")],
            &thirty_two.join(","),
        ),
    ] {
        assert_eq!(tracestate(&lists).as_deref(), Some(expected), "{lists:?}");
    }
}

#[test]
fn a_tracestate_with_a_malformed_member_or_too_many_is_dropped() {
    let many: Vec<_> = (1..=33).map(|n| format!("bar{n:02}={n:02}")).collect();
    for list in [
        "",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "@foo=1,bar=2",
        "foo=bar=baz",
        "foo==x,bar=3",
        "foo=,bar=3",
        "foo",
        "=1",
        "foo=é",
        &format!("foo=1,{}=1", "z".repeat(257)),
        &many.join(","),
    ] {
        assert_eq!(tracestate(&[list]), None, "{list}");
    }
}

#[test]
fn a_long_tracestate_loses_its_long_members_and_then_the_last_ones() {
    let member = |name: &str, length| format!("{name}={}", "x".repeat(length));
    let list = [
        member("a", 100),
        member("long", 200),
        member("b", 100),
        member("c", 100),
        member("d", 100),
        member("e", 100),
    ];
    let bounded = tracestate(&[&list.join(",")]).unwrap();
    let names: Vec<_> = bounded.split(',').map(|member| &member[..1]).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert!(bounded.len() <= 512);
}
