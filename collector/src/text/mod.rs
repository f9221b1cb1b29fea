//! The readable text format.

use std::fmt::Display;

use crate::instance::Instance;

pub(crate) mod escape;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod traces;

use escape::{escape, quote};

/// Maximum length of a name or value in characters. Longer ones are truncated.
const MAX_VALUE: usize = 200;

/// How text is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) color: bool,
    /// Leaves out what the live view shows better: current values, workers, what requests repeat.
    pub(crate) is_brief: bool,
}

impl Style {
    fn dim(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    fn bold(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    fn red(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    fn green(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    fn yellow(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// `pid 4211 (1f0c9a3e)`: the pid and the start of the instance id. The id distinguishes processes
/// that reuse a pid.
fn worker(instance: &Instance) -> String {
    let id = instance
        .resource_attribute("service.instance.id")
        .map(|id| escape(id, 8).replace('…', ""));
    match (instance.pid().map(|pid| escape(pid, 12)), id) {
        (Some(pid), Some(id)) => format!("pid {pid} ({id})"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, Some(id)) => format!("instance {id}"),
        (None, None) => "unnamed instance".to_owned(),
    }
}

/// `{a=1, b="x y"}`, or empty if there are no attributes.
fn attributes(attributes: &[(String, String)]) -> String {
    if attributes.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = attributes
        .iter()
        .map(|(key, value)| format!("{}={}", escape(key, MAX_VALUE), quote(value, MAX_VALUE)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

/// Attributes that say how rather than what, and have one value in most services.
const DETAILS: [&str; 2] = ["network.protocol.version", "url.scheme"];

/// `{GET, 200, /}`: the values without their names and without [`DETAILS`].
fn values(attributes: &[(String, String)]) -> String {
    let values = attributes
        .iter()
        .filter(|(key, _)| !DETAILS.contains(&key.as_str()));
    let values: Vec<_> = values.map(|(_, value)| quote(value, MAX_VALUE)).collect();
    match values.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", values.join(", ")),
    }
}

/// The time of day in UTC, from a Unix time in nanoseconds.
fn time_of_day(unix_nanos: u128) -> String {
    let millis = unix_nanos / 1_000_000;
    let (seconds, millis) = (millis / 1_000 % 86_400, millis % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

fn now() -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    time_of_day(since.as_nanos())
}

/// A duration in a readable unit.
fn duration(seconds: f64) -> String {
    match seconds.abs() {
        s if s >= 1.0 => format!("{seconds:.2} s"),
        s if s >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        s if s > 0.0 => format!("{:.0} µs", seconds * 1e6),
        _ => format!("{seconds} s"),
    }
}

/// `1 span`, `2 spans`.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
