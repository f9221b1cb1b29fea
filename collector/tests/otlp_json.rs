//! OTLP/JSON, and the pages that send it.

use std::net::SocketAddr;

use collector::{Collector, Config, Format, proto::common::v1::any_value::Value};
use serde_json::json;
use support::{Answer, exchange, post, printing};

mod support;

const JSON: &str = "application/json";

fn start() -> Collector {
    Collector::start(Config::silent()).expect("the collector starts")
}

#[test]
fn the_examples_of_the_protocol_are_accepted_and_written_unchanged() {
    for (name, path) in [
        ("metrics", "/v1/metrics"),
        ("logs", "/v1/logs"),
        ("events", "/v1/logs"),
        ("trace", "/v1/traces"),
    ] {
        let file = format!(
            "{}/tests/otlp-examples/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let example = std::fs::read(file).expect("an example");
        let (collector, screen) = printing(Format::Json);
        let answer = post(collector.http_addr(), path, JSON, &example);
        assert_eq!((answer.status, answer.json()), (200, json!({})), "{name}");
        collector.stop();
        let mut written: serde_json::Value = serde_json::from_str(&screen.text()).expect("JSON");
        let mut example: serde_json::Value = serde_json::from_slice(&example).expect("JSON");
        normalize(&mut example);
        normalize(&mut written);
        assert_eq!(written, example, "{name}");
    }
}

/// Ids in lower case, whole numbers without a fraction, and no empty messages and fields with
/// default values, which may be left out.
fn normalize(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::String(id) if name.ends_with("Id") => *id = id.to_lowercase(),
                    Value::Number(number) if name.ends_with("UnixNano") => {
                        *field = Value::from(number.to_string());
                    }
                    field => normalize(field),
                }
            }
            let defaults = [json!(0), json!([]), json!({}), json!(false)];
            fields.retain(|name, field| name == "min" || !defaults.contains(field));
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            *value = json!(number.as_f64().map(|number| number as i64));
        }
        _ => {}
    }
}

#[test]
fn json_follows_the_mapping_of_the_specification() {
    let collector = start();
    let send = |body: &str| {
        let answer = post(collector.http_addr(), "/v1/traces", JSON, body.as_bytes());
        (answer.status, answer.json())
    };
    let span = |fields: &str| {
        let ids = r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174""#;
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{ids},{fields}}}]}}]}}]}}"#)
    };
    // 64-bit integers as numbers or strings, null for unset, and fields of later versions.
    let valid = r#""startTimeUnixNano":1,"endTimeUnixNano":"2","name":null,"kind":2,"new":{"a":[1]},
        "attributes":[{"key":"i","value":{"intValue":"7"}},{"key":"j","value":{"intValue":8}}]"#;
    assert_eq!(send(&span(valid)), (200, json!({})));
    assert_eq!(send("{}"), (200, json!({})));
    let received = collector.received();
    let [found] = received.spans() else {
        panic!("one span: {:?}", received.spans());
    };
    assert_eq!(found.trace_id(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(
        (
            found.span.start_time_unix_nano,
            found.span.end_time_unix_nano
        ),
        (1, 2)
    );
    assert_eq!(found.attribute("i"), Some(&Value::IntValue(7)));
    assert_eq!(found.attribute("j"), Some(&Value::IntValue(8)));
    for bad in [
        "",
        "[",
        "[]",
        &span(r#""kind":"SPAN_KIND_SERVER""#),
        &span(r#""startTimeUnixNano":"soon""#),
        r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#,
    ] {
        let (status, answer) = send(bad);
        assert_eq!((status, &answer["code"]), (400, &json!(3)), "{bad}");
        assert!(
            answer["message"]
                .as_str()
                .is_some_and(|text| text.contains("OTLP traces"))
        );
    }
}

fn options(address: SocketAddr, origin: &str) -> Answer {
    let request = format!(
        "OPTIONS /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n\r\n"
    );
    exchange(address, request.as_bytes())
}

#[test]
fn pages_on_this_machine_may_send_and_others_may_not() {
    let collector = start();
    let address = collector.http_addr();
    for origin in [
        "http://localhost:3000",
        "https://shop.localhost",
        "http://127.0.0.1",
        "http://[::1]:8080",
    ] {
        let preflight = options(address, origin);
        assert_eq!(preflight.status, 204, "{origin}");
        for header in [
            &format!("access-control-allow-origin: {origin}"),
            "access-control-allow-methods: post",
            "access-control-allow-headers: content-type",
        ] {
            assert!(preflight.head.contains(header), "{}", preflight.head);
        }
        let headers = format!("Content-Type: {JSON}\r\nOrigin: {origin}\r\n");
        for (body, status) in [("{}", 200), ("[", 400)] {
            let answer = support::post_with(address, "/v1/traces", &headers, body.as_bytes());
            assert_eq!(answer.status, status);
            let allowed = format!("access-control-allow-origin: {origin}");
            assert!(answer.head.contains(&allowed), "{}", answer.head);
        }
    }
    for origin in [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
        "http://127.0.0.1.nip.io",
    ] {
        let preflight = options(address, origin);
        assert_eq!(preflight.status, 405, "{origin}");
        assert!(
            !preflight.head.contains("access-control"),
            "{}",
            preflight.head
        );
    }
}
