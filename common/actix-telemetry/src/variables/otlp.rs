//! The variables of the OTLP exporter, in each signal.

use super::{Bad, Valid, Value, check, with};
use crate::{
    env::Env,
    otlp::{Destination, Signal},
};

/// Shows the setting of a signal.
type Show = fn(Env<'_>, Signal) -> String;

pub(super) const OTLP: &[(&str, Show, &[Value])] = &[
    (
        "PROTOCOL",
        |env, signal| shown(env, signal).split(' ').nth(1).unwrap().to_owned(),
        &[
            Valid("grpc", "(grpc)"),
            Valid("gRPC", "(grpc)"),
            Valid("HTTP/Protobuf", "(http/protobuf)"),
            Bad("http/json", "(http/protobuf)"),
            Bad("http", "(http/protobuf)"),
        ],
    ),
    (
        "TIMEOUT",
        timeout,
        &[
            Valid("700", "700ms"),
            Valid("0", "31536000s"),
            Valid("18446744073709551615", "31536000s"),
            Bad("-1", "10s"),
            Bad("10s", "10s"),
            Bad("18446744073709551616", "10s"),
        ],
    ),
    (
        "COMPRESSION",
        |env, signal| format!("{:?}", destination(env, signal).compression),
        &[
            Valid("gzip", "Some(Gzip)"),
            Valid("GZIP", "Some(Gzip)"),
            Valid("None", "None"),
            Bad("zstd", "None"),
        ],
    ),
    (
        "HEADERS",
        |env, signal| {
            let mut headers: Vec<_> = destination(env, signal).headers.into_iter().collect();
            headers.sort();
            format!("{headers:?}")
        },
        &[
            Valid(
                "api-key=a%20b, X=1=2",
                r#"[("api-key", "a b"), ("x", "1=2")]"#,
            ),
            Bad("api-key=s3cret,bad", r#"[("api-key", "s3cret")]"#),
            Bad("api key=s3cret", "[]"),
            Bad("api-key=s3cret%0d%0aX: 1", "[]"),
        ],
    ),
    (
        "ENDPOINT",
        |env, signal| shown(env, signal),
        &[
            Valid(
                "http://collector:4318",
                "http://collector:4318 (http/protobuf)",
            ),
            Valid(
                "http://u:s3cret@h:1/t0ken?k=s3cret",
                "http://h:1/… (http/protobuf)",
            ),
            Valid("http://[::1]:4318/", "http://[::1]:4318 (http/protobuf)"),
            Bad("collector:4318", "http://localhost:4318 (http/protobuf)"),
            Bad(
                "u:s3cret@collector:4318",
                "http://localhost:4318 (http/protobuf)",
            ),
            Bad(
                "ftp://u:s3cret@h/t0ken",
                "http://localhost:4318 (http/protobuf)",
            ),
            Bad("http://", "http://localhost:4318 (http/protobuf)"),
            Bad("http://h:99999", "http://localhost:4318 (http/protobuf)"),
        ],
    ),
];

fn destination(env: Env<'_>, signal: Signal) -> Destination {
    Destination::read(env, signal)
}

pub(super) fn timeout(env: Env<'_>, signal: Signal) -> String {
    format!("{:?}", destination(env, signal).timeout)
}

fn shown(env: Env<'_>, signal: Signal) -> String {
    destination(env, signal).to_string()
}

#[test]
fn each_variable_of_the_exporter_arrives_or_is_reported_in_each_signal() {
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        for (what, show, values) in OTLP {
            let general = format!("OTEL_EXPORTER_OTLP_{what}");
            let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name());
            let show = |env: Env<'_>| show(env, signal);
            check(&general, show, values, &[]);
            check(&own, show, values, &[]);
            // That of the signal goes first, unless it cannot be used.
            let Valid(good, _) = values[0] else {
                unreachable!()
            };
            let alone = with(&[(&general, good)], show).0;
            for unusable in values.iter().filter_map(|value| match value {
                Bad(value, _) if *what != "HEADERS" => Some(*value),
                _ => None,
            }) {
                let (shown, warnings) = with(&[(&own, unusable), (&general, good)], show);
                assert_eq!(shown, alone, "{own}={unusable}");
                assert!(
                    warnings[0].ends_with(&format!("; using {general}")),
                    "{warnings:?}"
                );
            }
            for value in *values {
                let (Valid(value, _) | Bad(value, _)) = value;
                let (_, warnings) = with(&[(&own, value)], show);
                for secret in ["s3cret", "t0ken"] {
                    assert!(!warnings.concat().contains(secret), "{warnings:?}");
                }
            }
        }
    }
}

#[test]
fn a_grpc_endpoint_needs_no_scheme() {
    for (endpoint, insecure, expected, warned) in [
        ("collector:4317", "true", "http://collector:4317 (grpc)", 0),
        (
            "u:p@collector:4317",
            "TRUE",
            "http://collector:4317 (grpc)",
            0,
        ),
        (
            "http://collector:4317",
            "false",
            "http://collector:4317 (grpc)",
            0,
        ),
        #[cfg(feature = "tls")]
        (
            "collector:4317",
            "false",
            "https://collector:4317 (grpc)",
            0,
        ),
        #[cfg(feature = "tls")]
        ("collector:4317", "1", "https://collector:4317 (grpc)", 1),
        #[cfg(feature = "tls")]
        (
            "https://collector:4317",
            "true",
            "https://collector:4317 (grpc)",
            0,
        ),
    ] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
        ];
        let (shown, warnings) = with(&variables, |env| shown(env, Signal::Traces));
        assert_eq!(
            (shown.as_str(), warnings.len()),
            (expected, warned),
            "{warnings:?}"
        );
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_that_cannot_be_used_is_reported() {
    let expected = "expected a PEM file with a";
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "Cargo.toml"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "Cargo.toml"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/"),
    ] {
        let (_, warnings) = with(&[(variable, value)], |env| shown(env, Signal::Logs));
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with(variable) && warnings[0].contains(expected),
            "{warnings:?}"
        );
    }
}
