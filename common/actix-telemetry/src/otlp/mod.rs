//! Where telemetry goes, as the variables of the OpenTelemetry specification say.
//!
//! The variables are read here, once, because the SDK's exporters read some of them
//! otherwise (an empty header list of a signal hides the general one,
//! <https://github.com/open-telemetry/opentelemetry-rust/issues/3730>), and what they
//! take for an error would stop the service.

#[cfg(feature = "otlp-client")]
mod client;
mod connect;
mod destination;
#[cfg(feature = "otlp-client")]
mod grpc;
#[cfg(feature = "otlp-client")]
mod http;
#[cfg(feature = "metrics")]
mod metric_exporter;
#[cfg(feature = "otlp-client")]
mod retry;
mod signal;
#[cfg(all(test, feature = "traces"))]
pub(crate) mod testing;
#[cfg(feature = "tls")]
mod tls;

#[cfg(any(feature = "logs", feature = "traces"))]
use std::time::Duration;

#[cfg(feature = "otlp-client")]
pub(crate) use self::client::Client;
#[cfg(any(feature = "logs", feature = "traces"))]
pub(crate) use self::client::Refused;
pub(crate) use self::{destination::Destination, signal::Signal};
use crate::env::Env;

/// What happens to a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// It is pushed to a collector.
    Otlp(Box<Destination>),
    /// It is printed on stdout.
    Console,
}

impl Exporter {
    /// The exporters that `OTEL_<SIGNAL>_EXPORTER` lists; none if the SDK is disabled.
    pub(crate) fn all(env: Env<'_>, signal: Signal) -> Vec<Self> {
        if env.flag("OTEL_SDK_DISABLED") {
            return Vec::new();
        }
        let otlp = || Self::Otlp(Box::new(Destination::read(env, signal)));
        let name = format!("OTEL_{}_EXPORTER", signal.name());
        let Some(variable) = env.variable(&name) else {
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
                    let hint = "which is what the examples metrics-single-process-pull and \
                                metrics-multi-process-pull show";
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
            // 0 would never let the export thread rest.
            delay: Duration::from_millis(delay.max(1) as u64),
        }
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests;
