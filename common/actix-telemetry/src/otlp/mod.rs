//! Where telemetry goes, as the variables of the OpenTelemetry specification say.
//!
//! The variables are read here, once, and the SDK's exporters get the parsed values:
//! the SDK reads some of them otherwise (an empty header list of a signal hides the
//! general one, <https://github.com/open-telemetry/opentelemetry-rust/issues/3730>),
//! and what it takes for an error would stop the service.

mod client;
mod destination;

use std::{collections::HashMap, time::Duration};

pub(crate) use self::destination::{Destination, Protocol};
use crate::env::{Env, Variable};

/// A signal that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    #[cfg(feature = "metrics")]
    Metrics,
    #[cfg(feature = "logs")]
    Logs,
    #[cfg(feature = "traces")]
    Traces,
}

/// What happens to a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// It is pushed to a collector.
    Otlp(Box<Destination>),
    /// It is printed on stdout.
    Console,
}

impl Signal {
    /// The signal's part of the names of variables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "METRICS",
            #[cfg(feature = "logs")]
            Self::Logs => "LOGS",
            #[cfg(feature = "traces")]
            Self::Traces => "TRACES",
        }
    }

    /// What is exported, for messages.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "metrics",
            #[cfg(feature = "logs")]
            Self::Logs => "log records",
            #[cfg(feature = "traces")]
            Self::Traces => "spans",
        }
    }

    /// The path that is appended to `OTEL_EXPORTER_OTLP_ENDPOINT` over HTTP.
    fn path(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "v1/metrics",
            #[cfg(feature = "logs")]
            Self::Logs => "v1/logs",
            #[cfg(feature = "traces")]
            Self::Traces => "v1/traces",
        }
    }
}

impl Exporter {
    /// The exporters that `OTEL_<SIGNAL>_EXPORTER` lists; none if the SDK is disabled.
    pub(crate) fn all(env: Env<'_>, signal: Signal) -> Vec<Self> {
        if env.flag("OTEL_SDK_DISABLED") {
            return Vec::new();
        }
        let otlp = || Self::Otlp(Box::new(Destination::read(env, signal)));
        let name = format!("OTEL_{}_EXPORTER", signal.name());
        let Some(variable) = env.first(&[name]) else {
            return vec![otlp()];
        };
        let mut exporters = Vec::new();
        let names = variable.value.split(',').map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let exporter = match name.to_ascii_lowercase().as_str() {
                "otlp" => otlp(),
                "console" => Self::Console,
                "none" => continue,
                "prometheus" => {
                    let hint = "metrics for Prometheus to scrape are what the examples \
                                metrics-single-process-pull and metrics-multi-process-pull show";
                    variable.reject(hint, "the other exporters of the list");
                    continue;
                }
                _ => {
                    let expected = "expected a list of otlp, console or none";
                    variable.reject(expected, "the other exporters, or otlp if there is none");
                    if variable.value.contains(',') {
                        continue;
                    }
                    otlp()
                }
            };
            if !exporters.contains(&exporter) {
                exporters.push(exporter);
            }
        }
        exporters
    }
}

/// How a batch processor collects what it exports.
#[cfg(any(feature = "logs", feature = "traces"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// Items that wait at most for their export.
    pub(crate) queue: usize,
    /// Items in one export at most.
    pub(crate) size: usize,
    /// How long an item waits at most for others to be exported with.
    pub(crate) delay: Duration,
}

#[cfg(any(feature = "logs", feature = "traces"))]
impl Batch {
    /// Reads `OTEL_BSP_*` or `OTEL_BLRP_*`.
    pub(crate) fn read(env: Env<'_>, prefix: &str) -> Self {
        let number = |name: &str, allowed, default| {
            env.number(&format!("{prefix}_{name}"), allowed, default)
        };
        let queue = number("MAX_QUEUE_SIZE", 1..=1_000_000, 2_048);
        let size = number("MAX_EXPORT_BATCH_SIZE", 1..=queue, queue.min(512));
        // One second for both signals; the specification's default for spans is 5.
        let delay = number("SCHEDULE_DELAY", 0..=3_600_000, 1_000);
        Self {
            queue,
            size,
            // The SDK's timer does not take 0.
            delay: Duration::from_millis(delay.max(1) as u64),
        }
    }
}

/// A variable of the OTLP exporter: that of the signal goes before the general one.
fn variable(env: Env<'_>, signal: Signal, what: &str) -> Option<Variable> {
    env.first(&[
        format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name()),
        format!("OTEL_EXPORTER_OTLP_{what}"),
    ])
}

/// Parses `name=value,name=value` with percent-encoded values, as the specification
/// has headers. The values are secrets and never printed.
fn headers(variable: &Variable) -> HashMap<String, String> {
    let mut headers = HashMap::new();
    for pair in variable.value.split(',').map(str::trim) {
        if pair.is_empty() {
            continue;
        }
        let parsed = pair.split_once('=').and_then(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value.trim());
            let value = value.decode_utf8().ok()?.into_owned();
            http::HeaderValue::try_from(&value).ok()?;
            let name = http::HeaderName::try_from(name.trim()).ok()?;
            Some((name.as_str().to_owned(), value))
        });
        match parsed {
            Some((name, value)) => {
                headers.insert(name, value);
            }
            None => {
                let name = pair.split('=').next().unwrap_or_default();
                let expected = "expected name=value pairs";
                crate::env::warn(&variable.name, &format!("{name}=…"), expected, "the others");
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests;
