//! Names of OpenTelemetry as names of Prometheus, as the specification's page on [compatibility]
//! says.
//!
//! [compatibility]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/

use std::collections::BTreeMap;

use opentelemetry::KeyValue;

use crate::format::Kind;

/// Units with a name of their own; those of the specification.
const UNITS: [(&str, &str); 28] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
    ("mm", "millimeters"),
    ("km", "kilometers"),
    ("kg", "kilograms"),
];

/// Units behind a slash.
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric: the instrument's, its unit, and `total` for a counter, without a word
/// twice.
pub(super) fn metric(name: &str, unit: &str, kind: Kind) -> String {
    let name = words(name, true);
    let is_counter = kind == Kind::Counter;
    let mut parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    if is_counter {
        parts.retain(|part| *part != "total");
    }
    let unit = match (unit, kind) {
        ("1", Kind::Gauge(mode)) if mode.as_str().ends_with("mostrecent") => "ratio".to_owned(),
        _ => self::unit(unit),
    };
    for part in unit.split('_').filter(|part| !part.is_empty()) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if is_counter {
        parts.push("total");
    }
    let name = parts.join("_");
    match name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
        true => format!("_{name}"),
        false => name,
    }
}

fn unit(unit: &str) -> String {
    // An annotation such as `{request}` is no unit.
    let unit = match unit.split_once('{') {
        Some((before, rest)) => {
            before.to_owned() + rest.split_once('}').map_or("", |(_, rest)| rest)
        }
        None => unit.to_owned(),
    };
    let translate = |units: &[(&str, &'static str)], unit: &str| {
        let known = units.iter().find(|(known, _)| *known == unit);
        known.map_or_else(|| words(unit, false), |(_, name)| (*name).to_owned())
    };
    match unit.trim() {
        "" | "1" => String::new(),
        unit => match unit.split_once('/') {
            Some((unit, per)) if !per.is_empty() => {
                format!("{}_per_{}", translate(&UNITS, unit), translate(&PER, per))
            }
            _ => translate(&UNITS, unit),
        },
    }
}

/// The labels of a set of attributes, sorted by name. Values of attributes whose names become one
/// label are joined, and of two attributes with one name the last one counts.
pub(super) fn labels(attributes: &[KeyValue], kind: Kind) -> BTreeMap<String, String> {
    let by_name: BTreeMap<&str, &KeyValue> = attributes
        .iter()
        .map(|attribute| (attribute.key.as_str(), attribute))
        .collect();
    let mut labels = BTreeMap::<String, String>::new();
    for (name, attribute) in by_name {
        let value = attribute.value.as_str();
        labels
            .entry(label(name, kind))
            .and_modify(|joined| {
                joined.push(';');
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    labels
}

/// An attribute's name as a label.
pub(super) fn label(name: &str, kind: Kind) -> String {
    let name = words(name, false);
    // Names that begin with two underscores are Prometheus' own.
    let name = match name.strip_prefix("__") {
        Some(rest) => format!("_{}", rest.trim_start_matches('_')),
        None => name,
    };
    match name.as_str() {
        "" | "_" => "key".to_owned(),
        "le" if kind == Kind::Histogram => "le_".to_owned(),
        name if name.starts_with(|first: char| first.is_ascii_digit()) => format!("key_{name}"),
        _ => name,
    }
}

/// What a name may not have becomes an underscore, several in a row become one.
fn words(text: &str, colons: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(character),
            ':' if colons => out.push(character),
            _ if out.ends_with('_') => {}
            _ => out.push('_'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use opentelemetry::{Array, StringValue, Value};

    use super::*;
    use crate::format::GaugeMode;

    #[test]
    fn instruments_are_named_as_the_specification_says() {
        let gauge = Kind::Gauge(GaugeMode::LiveMostRecent);
        let sum = Kind::Gauge(GaugeMode::LiveSum);
        for (name, unit, kind, expected) in [
            (
                "http.server.request.duration",
                "s",
                Kind::Histogram,
                "http_server_request_duration_seconds",
            ),
            (
                "http.server.active_requests",
                "{request}",
                sum,
                "http_server_active_requests",
            ),
            (
                "num_requests",
                "{request}",
                Kind::Counter,
                "num_requests_total",
            ),
            ("app.things.total", "", Kind::Counter, "app_things_total"),
            ("x_seconds", "s", gauge, "x_seconds"),
            ("x_bytes_total", "By", Kind::Counter, "x_bytes_total"),
            ("disk.io", "By", Kind::Counter, "disk_io_bytes_total"),
            ("utilization", "1", gauge, "utilization_ratio"),
            ("utilization", "1", sum, "utilization"),
            ("speed", "m/s", gauge, "speed_meters_per_second"),
            ("flow", "{packet}/s", gauge, "flow_per_second"),
            ("a..b--c", "%", gauge, "a_b_c_percent"),
            ("1st", "foo bar", gauge, "_1st_foo_bar"),
        ] {
            assert_eq!(metric(name, unit, kind), expected, "{name} {unit}");
        }
    }

    #[test]
    fn attributes_become_labels() {
        let array = Value::Array(Array::String(vec![
            StringValue::from("a"),
            StringValue::from("b"),
        ]));
        let attributes = [
            KeyValue::new("a.b", 1),
            KeyValue::new("z", array),
            KeyValue::new("a_b", true),
            KeyValue::new("le", 0.5),
            KeyValue::new("1st", "old"),
            KeyValue::new("1st", "new"),
            KeyValue::new("__name__", "x"),
        ];
        let expected = [
            ("_name_", "x"),
            ("a_b", "1;true"),
            ("key_1st", "new"),
            ("le_", "0.5"),
            ("z", "[\"a\",\"b\"]"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(
            labels(&attributes, Kind::Histogram),
            BTreeMap::from(expected)
        );
    }
}
