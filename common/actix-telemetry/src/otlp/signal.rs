//! The signals, and the variables of the OTLP exporter that each of them has.

use std::collections::HashMap;

use crate::{
    env::{Env, Variable},
    warn::warn,
};

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
    #[cfg(feature = "otlp-client")]
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

    /// What one export is made of, for messages.
    #[cfg(feature = "otlp-client")]
    pub(super) fn items(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "data points",
            #[cfg(feature = "logs")]
            Self::Logs => "log records",
            #[cfg(feature = "traces")]
            Self::Traces => "spans",
        }
    }

    /// The path of the gRPC method that takes an export.
    #[cfg(feature = "otlp-client")]
    pub(super) fn method(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            #[cfg(feature = "logs")]
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            #[cfg(feature = "traces")]
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        }
    }

    /// The path that is appended to `OTEL_EXPORTER_OTLP_ENDPOINT` over HTTP.
    pub(super) fn path(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "v1/metrics",
            #[cfg(feature = "logs")]
            Self::Logs => "v1/logs",
            #[cfg(feature = "traces")]
            Self::Traces => "v1/traces",
        }
    }

    /// The variable that limits an export beside that of the OTLP exporter.
    pub(super) fn export_timeout(self) -> &'static str {
        match self {
            #[cfg(feature = "metrics")]
            Self::Metrics => "OTEL_METRIC_EXPORT_TIMEOUT",
            #[cfg(feature = "logs")]
            Self::Logs => "OTEL_BLRP_EXPORT_TIMEOUT",
            #[cfg(feature = "traces")]
            Self::Traces => "OTEL_BSP_EXPORT_TIMEOUT",
        }
    }
}

/// What a variable of the OTLP exporter says: that of the signal, else the general one.
/// A value that `parse` does not take, which says what was expected, is reported and
/// counts as unset.
pub(super) fn setting<T>(
    env: Env<'_>,
    signal: Signal,
    what: &str,
    default: &str,
    parse: impl Fn(&Variable) -> Result<T, String>,
) -> Option<T> {
    let own = env.variable(&format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name()));
    let general = env.variable(&format!("OTEL_EXPORTER_OTLP_{what}"));
    let used = match &general {
        Some(general) if own.is_some() => general.name.clone(),
        _ => default.to_owned(),
    };
    let of_signal = own.and_then(|own| accepted(&own, &used, &parse));
    of_signal.or_else(|| accepted(&general?, default, &parse))
}

/// The value of a variable; reports one that `parse` does not take.
pub(super) fn accepted<T>(
    variable: &Variable,
    used: &str,
    parse: impl Fn(&Variable) -> Result<T, String>,
) -> Option<T> {
    parse(variable)
        .inspect_err(|expected| variable.reject(expected, used))
        .ok()
}

/// Parses `name=value,name=value` with percent-encoded values, as the specification
/// has headers. The values are secrets and never printed.
pub(super) fn headers(variable: &Variable) -> HashMap<String, String> {
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
                warn(&variable.name, &format!("{name}=…"), expected, "the others");
            }
        }
    }
    headers
}
