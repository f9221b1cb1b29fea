//! What the variables of the exporter mean.

use std::time::Duration;

use super::*;

fn read(variables: &[(&str, &str)]) -> Vec<Exporter> {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    Exporter::all(Env(&lookup), Signal::Metrics)
}

fn destination(variables: &[(&str, &str)]) -> Destination {
    match read(variables).as_slice() {
        [Exporter::Otlp(destination)] => *destination.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_defaults_are_those_of_the_specification() {
    let http = destination(&[]);
    assert_eq!(http.endpoint, "http://localhost:4318/v1/metrics");
    assert_eq!(http.timeout, Duration::from_secs(10));
    let grpc = destination(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "GRPC ")]);
    assert_eq!(grpc.endpoint, "http://localhost:4317/");
}

#[test]
fn the_variable_of_the_signal_goes_first_and_an_empty_one_counts_as_unset() {
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1");
    let own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let both = destination(&[general, (own, "http://b:2/x")]);
    assert_eq!(both.endpoint, "http://b:2/x");
    let empty = destination(&[general, (own, " ")]);
    assert_eq!(empty.endpoint, "http://a:1/v1/metrics");
}

#[test]
fn an_empty_header_list_of_a_signal_does_not_hide_the_general_one() {
    let found = destination(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, bad ,x=1=2"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", ""),
    ]);
    assert_eq!(found.headers["api-key"], "a b");
    assert_eq!(found.headers["x"], "1=2");
    assert_eq!(found.headers.len(), 2);
}

#[test]
fn the_path_of_a_signal_stands_before_the_query() {
    for (endpoint, expected) in [
        ("http://h:1/?tenant=x", "http://h:1/v1/metrics?tenant=x"),
        ("http://h:1/base/", "http://h:1/base/v1/metrics"),
    ] {
        let found = destination(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        assert_eq!(found.endpoint, expected);
    }
}

#[test]
fn userinfo_becomes_authorization_and_is_never_printed() {
    let endpoint = "http://user:p%40w@127.0.0.1:9/t0ken?key=s3cret";
    let found = destination(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
    assert_eq!(found.headers["authorization"], "Basic dXNlcjpwQHc=");
    assert_eq!(found.to_string(), "http://127.0.0.1:9/… (http/protobuf)");
    for secret in ["user", "p%40w", "t0ken", "s3cret"] {
        assert!(!found.advice().contains(secret), "{}", found.advice());
    }
}

#[test]
fn a_disabled_sdk_exports_nothing_whatever_else_is_set() {
    let disabled = ("OTEL_SDK_DISABLED", "TRUE");
    assert_eq!(read(&[disabled, ("OTEL_METRICS_EXPORTER", "otlp")]), []);
}

#[test]
fn loopback_is_recognised_by_name_and_by_address() {
    for (endpoint, expected) in [
        ("http://localhost:1", true),
        ("http://127.0.0.2:1", true),
        ("http://[::1]:1", true),
        ("http://example.com:1", false),
    ] {
        let found = destination(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        assert_eq!(found.is_on_loopback(), expected, "{endpoint}");
    }
}
