//! What is passed on of what comes in.

use actix_web::{http::header::HeaderValue as ActixValue, test::TestRequest};
use opentelemetry::{baggage::BaggageExt as _, trace::TraceContextExt as _};

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn incoming(headers: &[(&str, &[u8])]) -> Context {
    install_propagators();
    let mut request = TestRequest::get();
    for (name, value) in headers {
        request = request.append_header((*name, ActixValue::from_bytes(value).unwrap()));
    }
    extract(request.to_srv_request().headers())
}

/// What comes out where this came in.
fn passed_on(headers: &[(&str, &[u8])]) -> http::HeaderMap {
    let mut out = http::HeaderMap::new();
    inject(&incoming(headers), &mut out);
    out
}

fn tracestate(list: &str) -> Option<String> {
    let out = passed_on(&[
        ("traceparent", GOOD.as_bytes()),
        ("tracestate", list.as_bytes()),
    ]);
    Some(out.get(TRACESTATE)?.to_str().unwrap().to_owned())
}

fn baggage(list: &str) -> Vec<String> {
    let out = passed_on(&[("baggage", list.as_bytes())]);
    let header = out.get(BAGGAGE).map_or("", |value| value.to_str().unwrap());
    let mut members: Vec<_> = header.split(',').map(str::to_owned).collect();
    members.sort();
    members
}

#[test]
fn names_in_any_case_choose_the_propagators_and_unknown_ones_are_ignored() {
    let chosen = |list: &str| {
        let lookup = |_: &str| Some(list.to_owned());
        let chosen = Chosen::read(Env(&lookup));
        (chosen.trace_context, chosen.baggage)
    };
    assert_eq!(chosen(" baggage, TraceContext,baggage"), (true, true));
    assert_eq!(chosen(""), (true, true));
    assert_eq!(chosen("none"), (false, false));
    assert_eq!(chosen("tracecontext,b3"), (true, false));
}

#[test]
fn a_malformed_or_doubled_traceparent_counts_as_none() {
    for bad in [
        "",
        "00",
        "00-0-0-0",
        // The SDK's own parser would take these for numbers.
        "00-1-2-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
    ] {
        let out = passed_on(&[("traceparent", bad.as_bytes())]);
        assert_eq!(out.get(TRACEPARENT), None, "{bad}");
    }
    let twice = ("traceparent", GOOD.as_bytes());
    assert!(passed_on(&[twice, twice]).is_empty());
    assert!(passed_on(&[("traceparent", b"\xff\xfe")]).is_empty());
    assert!(passed_on(&[("tracestate", b"a=b")]).is_empty());
}

#[test]
fn a_traceparent_of_a_later_version_is_taken_as_far_as_it_is_known() {
    for later in ["01", "01-more", "cc-0-0-0"] {
        let (version, rest) = later.split_at(2);
        let header = format!("{version}{}{rest}", &GOOD[2..]);
        let context = incoming(&[("traceparent", header.as_bytes())]);
        let id = context.span().span_context().trace_id().to_string();
        assert_eq!(id, TRACE, "{header}");
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
    ] {
        let header = format!("{}{flags}", &GOOD[..53]);
        let out = passed_on(&[("traceparent", header.as_bytes())]);
        let out = out.get(TRACEPARENT).unwrap().to_str().unwrap();
        assert_eq!(&out[53..], expected, "{flags}");
    }
}

#[test]
fn a_valid_tracestate_is_passed_on_as_it_came() {
    let long_key = format!("{}=1", "z".repeat(256));
    let many: Vec<_> = (0..32).map(|n| format!("k{n}=1")).collect();
    for list in [
        "foo=1,bar=2",
        "foo@@bar=1,bar=2",
        "t@v=a b",
        &long_key,
        &many.join(","),
    ] {
        assert_eq!(tracestate(list).as_deref(), Some(list));
    }
    assert_eq!(tracestate("a=1 ,\t, b=2").as_deref(), Some("a=1,b=2"));
}

#[test]
fn a_tracestate_with_a_malformed_member_or_too_many_is_dropped() {
    let many: Vec<_> = (0..33).map(|n| format!("k{n}=1")).collect();
    let long_key = format!("{}=1", "z".repeat(257));
    for list in [
        "foo=,bar=3",
        "foo==x,bar=3",
        "FOO=1",
        "foo",
        "=1",
        "foo=é",
        &long_key,
        &many.join(","),
    ] {
        assert_eq!(tracestate(list), None, "{list}");
    }
}

#[test]
fn a_long_tracestate_loses_its_long_members_and_then_the_last_ones() {
    let short = |name: &str| format!("{name}={}", "x".repeat(100));
    let long = format!("long={}", "x".repeat(200));
    let list = [
        short("a"),
        long,
        short("b"),
        short("c"),
        short("d"),
        short("e"),
    ];
    let bounded = tracestate(&list.join(",")).unwrap();
    let names: Vec<_> = bounded.split(',').map(|member| &member[..1]).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert!(bounded.len() <= 512);
}

#[test]
fn several_headers_of_one_name_are_one_list() {
    let out = passed_on(&[
        ("traceparent", GOOD.as_bytes()),
        ("tracestate", b"a=1"),
        ("tracestate", b"b=2"),
    ]);
    assert_eq!(out.get(TRACESTATE).unwrap(), "a=1,b=2");
    let context = incoming(&[("baggage", b"a=1"), ("baggage", b"b=2")]);
    assert_eq!(context.baggage().len(), 2);
}

#[test]
fn baggage_is_passed_on_unaltered() {
    for member in [
        "user=jo%20an;secret",
        "token=abc123==",
        "a=%25",
        "a=b;p=%0d%0aX-Evil: 1;q",
    ] {
        assert_eq!(baggage(member), [member]);
    }
    assert_eq!(
        incoming(&[("baggage", b"a=%20x%ff")])
            .baggage()
            .get("a")
            .unwrap()
            .as_str(),
        " x\u{fffd}"
    );
    assert_eq!(
        baggage("a=b;r=%2cforged=1,c=d"),
        ["a=b;r=%2cforged=1", "c=d"]
    );
}

#[test]
fn baggage_of_any_size_stays_within_the_limits_of_its_specification() {
    let many: Vec<_> = (0..500).map(|n| format!("k{n}=v")).collect();
    let context = incoming(&[("baggage", many.join(",").as_bytes())]);
    assert_eq!(context.baggage().len(), 64);
    let long = format!("a={}", "v".repeat(10_000));
    assert!(
        incoming(&[("baggage", long.as_bytes())])
            .baggage()
            .is_empty()
    );
}
