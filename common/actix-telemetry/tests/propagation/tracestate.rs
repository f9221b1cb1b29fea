//! The header `tracestate`.

use super::{PARENT, TRACE, service::passed_on, traceparent};

/// The list that is passed on where these lists come in.
fn tracestate(lists: &[&str]) -> Option<String> {
    let headers = lists.iter().map(|list| format!("tracestate: {list}"));
    beside_traceparent(headers.collect())
}

/// The list that is passed on where these headers come in.
fn beside_traceparent(mut headers: Vec<String>) -> Option<String> {
    headers.push(format!("traceparent: 00-{TRACE}-{PARENT}-00"));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    assert_eq!(traceparent(&headers)[0], TRACE, "{headers:?}");
    passed_on("tracestate", &headers)
}

#[test]
fn the_name_of_the_header_is_taken_in_any_case_and_no_other_name_is() {
    for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
        let list = beside_traceparent(vec![format!("{name}: foo=1")]);
        assert_eq!(list.as_deref(), Some("foo=1"), "{name}");
    }
    for name in ["trace-state", "trace.state"] {
        let list = beside_traceparent(vec![format!("{name}: foo=1")]);
        assert_eq!(list, None, "{name}");
    }
}

#[test]
fn a_tracestate_without_traceparent_is_dropped() {
    for list in ["foo=1", "foo=1,bar=2"] {
        assert_eq!(
            passed_on("tracestate", &[&format!("tracestate: {list}")]),
            None
        );
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
            vec!["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            "foo=1,bar=2,rojo=1,congo=2,baz=3",
        ),
        (vec!["foo=1", ""], "foo=1"),
        (vec!["", "foo=1"], "foo=1"),
        // One of two equal keys may be dropped, or none.
        (vec!["foo=1,foo=1"], "foo=1,foo=1"),
        (vec!["foo=1,foo=2"], "foo=1,foo=2"),
        (vec!["foo=1", "foo=1"], "foo=1,foo=1"),
        (vec!["foo=1", "foo=2"], "foo=1,foo=2"),
        (vec![" foo=1"], "foo=1"),
        (vec!["\tfoo=1"], "foo=1"),
        (vec!["foo=1 "], "foo=1"),
        (vec!["foo=1\t"], "foo=1"),
        (vec!["\t foo=1 \t"], "foo=1"),
        (
            vec!["foo=1\t \t,\t \tbar=2,\t \tbaz=3"],
            "foo=1,bar=2,baz=3",
        ),
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
            vec![
                "foo=1",
                &format!("{}@{}=1", "t".repeat(241), "v".repeat(14)),
            ],
            &format!("foo=1,{}@{}=1", "t".repeat(241), "v".repeat(14)),
        ),
        (
            vec!["foo=1", &format!("{}@v=1", "t".repeat(242))],
            &format!("foo=1,{}@v=1", "t".repeat(242)),
        ),
        (
            vec!["foo=1", "t@vvvvvvvvvvvvvvv=1"],
            "foo=1,t@vvvvvvvvvvvvvvv=1",
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
    // Limits are those of the whole list.
    let (first, second) = many.split_at(20);
    assert_eq!(tracestate(&[&first.join(","), &second.join(",")]), None);
    assert_eq!(
        tracestate(&["foo=1", &format!("{}=1", "z".repeat(257))]),
        None
    );
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
