//! Every variable of the environment, each with values of every kind: what arrives, and
//! what is reported.

mod general;
mod otlp;

use std::{collections::BTreeSet, iter};

use self::{general::GENERAL, otlp::OTLP};
use crate::{env::Env, traces::read_sampler, warn::WARNINGS};

/// Shows the setting that a variable is for.
type Show = fn(Env<'_>) -> String;

/// A value, and what is shown of it.
enum Value {
    /// Not reported, and in any case if it is an enum.
    Valid(&'static str, &'static str),
    /// Reported.
    Bad(&'static str, &'static str),
}

use Value::{Bad, Valid};

fn with(variables: &[(&str, &str)], show: impl Fn(Env<'_>) -> String) -> (String, Vec<String>) {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    WARNINGS.take();
    let shown = show(Env(&lookup));
    (shown, WARNINGS.take())
}

fn check(
    variable: &str,
    show: impl Fn(Env<'_>) -> String,
    values: &[Value],
    others: &[(&str, &str)],
) {
    let shown = |value: &str| {
        let all: Vec<_> = iter::once((variable, value))
            .chain(others.iter().copied())
            .collect();
        with(&all, &show)
    };
    let default = with(others, &show);
    for empty in ["", " ", "\t\r\n"] {
        assert_eq!(shown(empty), default, "{variable}={empty:?}");
    }
    for value in values {
        match value {
            Valid(value, expected) => {
                for value in [(*value).to_owned(), format!(" {value}\r\n")] {
                    let (shown, warnings) = shown(&value);
                    assert_eq!(shown, *expected, "{variable}={value:?}");
                    assert_eq!(warnings, [""; 0], "{variable}={value:?}");
                }
            }
            Bad(value, expected) => {
                let (shown, warnings) = shown(value);
                assert_eq!(shown, *expected, "{variable}={value:?}");
                let [warning] = warnings.as_slice() else {
                    panic!("one warning: {variable}={value:?} {warnings:?}");
                };
                assert!(warning.starts_with(&format!("{variable} is ")), "{warning}");
                assert!(
                    warning.contains(", expected ") || warning.contains(", which "),
                    "{warning}"
                );
                assert!(warning.contains("; using "), "{warning}");
            }
        }
    }
}

#[test]
fn each_variable_arrives_or_is_reported() {
    for (variable, show, values) in GENERAL {
        check(variable, show, values, &[]);
    }
    let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
    let sampler: Show = |env| format!("{:?}", read_sampler(env));
    let default = "TraceIdRatioBased(1.0)";
    let values = [
        Valid("0.1", "TraceIdRatioBased(0.1)"),
        Valid("0", "TraceIdRatioBased(0.0)"),
        Bad("10%", default),
        Bad("-0.1", default),
        Bad("1.5", default),
        Bad("NaN", default),
        Bad("inf", default),
    ];
    check("OTEL_TRACES_SAMPLER_ARG", sampler, &values, &[ratio]);
}

#[test]
fn the_documented_variables_are_those_that_are_tested() {
    let (honoured, _) = include_str!("../../ENVIRONMENT.md")
        .split_once("# Not honoured")
        .unwrap();
    let rows = honoured
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let documented: BTreeSet<String> = rows
        .flat_map(|(names, _)| names.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    let of_tls = [
        "CERTIFICATE",
        "CLIENT_CERTIFICATE",
        "CLIENT_KEY",
        "INSECURE",
    ];
    let otlp = OTLP.iter().map(|(what, ..)| *what).chain(of_tls);
    let tested: BTreeSet<String> = (GENERAL.iter().map(|(name, ..)| (*name).to_owned()))
        .chain(otlp.map(|what| format!("OTEL_EXPORTER_OTLP_{what}")))
        .chain(["OTEL_TRACES_SAMPLER_ARG".to_owned()])
        .collect();
    assert_eq!(documented, tested);
}
