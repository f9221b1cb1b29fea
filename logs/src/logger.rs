//! The one logger of the process: what the `log` macros say goes to the console,
//! and to OpenTelemetry once a worker has connected it.

use std::sync::OnceLock;

use env_filter::Filter;
use log::{Log, Metadata, Record};

use crate::{console, limit, settings::Settings};

/// Crates below the exporters. What they log while they export would be exported
/// in turn, without an end, so it never reaches OpenTelemetry, whatever the filter
/// says. The console shows it.
///
/// `tracing` is the target of spans that h2, hyper and others open; `mio` and
/// `tokio` are below their sockets.
const BELOW_THE_EXPORTERS: [&str; 17] = [
    "h2",
    "hyper",
    "hyper_rustls",
    "hyper_timeout",
    "hyper_util",
    "mio",
    "opentelemetry",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "tokio",
    "tokio_rustls",
    "tonic",
    "tower",
    "tower_http",
    "tracing",
    "want",
];

/// The logger.
pub(crate) struct Logger {
    console: Sink,
    otel: OnceLock<Sink>,
    length_limit: usize,
}

/// A place where records go, and which of them.
struct Sink {
    log: Box<dyn Log>,
    filter: Filter,
}

impl Logger {
    /// Makes the console the logger of the process.
    pub(crate) fn install(settings: &Settings) -> &'static Self {
        // It lives as long as the process does.
        let logger: &'static Self = Box::leak(Box::new(Self {
            console: Sink {
                log: Box::new(console::logger()),
                filter: settings.console.clone(),
            },
            otel: OnceLock::new(),
            length_limit: settings.length_limit,
        }));
        log::set_max_level(settings.console.filter());
        if log::set_logger(logger).is_err() {
            eprintln!("warning: another logger is installed already, and this one is not used");
        }
        logger
    }

    /// Sends records to OpenTelemetry from now on.
    pub(crate) fn connect(&self, bridge: impl Log + 'static, filter: &Filter) {
        let sink = Sink {
            log: Box::new(bridge),
            filter: filter.clone(),
        };
        if self.otel.set(sink).is_ok() {
            log::set_max_level(log::max_level().max(filter.filter()));
        }
    }

    fn otel(&self, metadata: &Metadata<'_>) -> Option<&Sink> {
        let sink = self.otel.get()?;
        (sink.filter.enabled(metadata) && !is_below_the_exporters(metadata.target()))
            .then_some(sink)
    }

    fn console(&self, metadata: &Metadata<'_>) -> Option<&Sink> {
        let sink = &self.console;
        sink.filter.enabled(metadata).then_some(sink)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.console(metadata).is_some() || self.otel(metadata).is_some()
    }

    fn log(&self, record: &Record<'_>) {
        let (console, otel) = (
            self.console(record.metadata()),
            self.otel(record.metadata()),
        );
        if console.is_none() && otel.is_none() {
            return;
        }
        limit::with_limited(record, self.length_limit, |record| {
            for sink in [console, otel].into_iter().flatten() {
                if sink.filter.matches(record) {
                    sink.log.log(record);
                }
            }
        });
    }

    fn flush(&self) {
        self.console.log.flush();
        if let Some(otel) = self.otel.get() {
            otel.log.flush();
        }
    }
}

/// Whether the target is one of those crates or a module of one.
///
/// `opentelemetry` stands for all of its crates, whose targets have a `-` or a `_`.
fn is_below_the_exporters(target: &str) -> bool {
    let end = target.find([':', '-']).unwrap_or(target.len());
    let name = &target[..end];
    BELOW_THE_EXPORTERS.binary_search(&name).is_ok() || name.starts_with("opentelemetry_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_covers_modules_but_no_other_crates() {
        assert!(BELOW_THE_EXPORTERS.is_sorted());
        for target in [
            "h2::codec::framed_read",
            "tracing::span::active",
            "opentelemetry-otlp",
            "opentelemetry_sdk::logs",
            "opentelemetry",
            "reqwest::connect",
        ] {
            assert!(is_below_the_exporters(target), "{target}");
        }
        for target in ["h2o", "logs::routes", "tracing_shop", "actix_http::h2", ""] {
            assert!(!is_below_the_exporters(target), "{target}");
        }
    }
}
