//! One JSON line on stdout for each log record and span, for the exporter `console`.

#[cfg(feature = "logs")]
pub(crate) mod logs;
#[cfg(feature = "traces")]
pub(crate) mod spans;

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use jiff::Timestamp;
use opentelemetry::Array;
use opentelemetry_sdk::Resource;
use serde_json::{Map, Value, json};

use crate::otlp::Refused;

/// Writes lines to stdout. Each is written at once, so that those of other workers do not
/// get into it.
pub(crate) fn write<'a>(lines: impl Iterator<Item = &'a Vec<u8>>) -> Result<(), Refused> {
    let write = || -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        for line in lines.flat_map(|lines| lines.split_inclusive(|&byte| byte == b'\n')) {
            stdout.write_all(line)?;
        }
        stdout.flush()
    };
    write().map_err(|error| Refused {
        items: None,
        text: error.to_string(),
    })
}

/// Appends a line.
fn append(lines: &mut Vec<u8>, line: &Value) {
    // Writing to memory cannot fail.
    let _ = writeln!(lines, "{line}");
}

/// RFC 3339 in UTC, with microseconds.
fn time(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.6}"))
}

fn resource(resource: &Resource) -> Map<String, Value> {
    let pairs = resource.iter();
    pairs
        .map(|(key, found)| (key.to_string(), value(found)))
        .collect()
}

fn value(value: &opentelemetry::Value) -> Value {
    use opentelemetry::Value as Found;

    match value {
        Found::I64(number) => json!(number),
        Found::F64(number) => json!(number),
        Found::Bool(value) => json!(value),
        Found::Array(Array::I64(numbers)) => json!(numbers),
        Found::Array(Array::F64(numbers)) => json!(numbers),
        Found::Array(Array::Bool(values)) => json!(values),
        Found::Array(Array::String(texts)) => texts.iter().map(|text| text.as_str()).collect(),
        text => json!(text.as_str()),
    }
}
