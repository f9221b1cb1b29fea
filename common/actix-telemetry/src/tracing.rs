//! For services that log with the `tracing` crate: the console, and what may be
//! exported.
//!
//! ```
//! use opentelemetry_sdk::logs::SdkLoggerProvider;
//! use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};
//!
//! let subscriber = tracing_subscriber::registry().with(actix_telemetry::tracing::console());
//! // Further layers, for spans and for log records:
//! //     tracing_opentelemetry::layer().with_filter(actix_telemetry::tracing::exported())
//! //     OpenTelemetryTracingBridge::new(&provider).with_filter(actix_telemetry::tracing::exported())
//! # let _ = (subscriber, SdkLoggerProvider::builder());
//! ```

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    process,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::FilterExt as _,
    layer::{self, Filter},
    registry::LookupSpan,
};

use crate::{
    env::Env,
    feedback::is_below_the_exporters,
    stderr::{self, CONSOLE, EscapedText as Escaped, Ids, Quoted, Stderr},
    warn::warn_filter,
};

/// A line on stderr for each event, as [`console::init`](crate::console::init) writes it
/// for records of the `log` crate. `RUST_LOG` says what is shown.
pub fn console<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    stderr::flush_at_the_end();
    Console {
        is_coloured: stderr::is_coloured(),
    }
    .with_filter(filter(CONSOLE))
}

/// What may be exported: what `OTEL_RUST_LOG` lets through (`info` and above by
/// default), and nothing of the crates below the exporters, whatever it says. What they
/// log while they export would be exported next.
pub fn exported<S>() -> impl Filter<S> + Send + Sync + 'static
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    filter("OTEL_RUST_LOG").and(NotBelowTheExporters)
}

fn filter(variable: &str) -> EnvFilter {
    const DEFAULT: &str = "info,opentelemetry=off,actix_server=warn";
    let Some(text) = Env::process().get(variable) else {
        return EnvFilter::new(DEFAULT);
    };
    EnvFilter::try_new(format!("{DEFAULT},{text}")).unwrap_or_else(|_| {
        warn_filter(variable, Some(text));
        EnvFilter::new(DEFAULT)
    })
}

struct NotBelowTheExporters;

impl<S> Filter<S> for NotBelowTheExporters {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        !is_below_the_exporters(metadata.target())
    }

    /// Records of the `log` crate have one callsite for each level, and their own target.
    fn event_enabled(&self, event: &Event<'_>, _: &layer::Context<'_, S>) -> bool {
        let normalized = event.normalized_metadata();
        normalized.is_none_or(|metadata| !is_below_the_exporters(metadata.target()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }
}

struct Console {
    is_coloured: bool,
}

impl<S: Subscriber> Layer<S> for Console {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (on, off) = match self.is_coloured {
            true => (colour(metadata.level()), "\u{1b}[0m"),
            false => ("", ""),
        };
        // Writing to a string cannot fail, and the console takes every line.
        let _ = Stderr.write_all(
            format!(
                "[{} {on}{:<5}{off} {} {}] {}{}{}\n",
                timestamp(),
                metadata.level(),
                process::id(),
                Escaped(metadata.target()),
                Escaped(&fields.message),
                fields.pairs,
                Ids,
            )
            .as_bytes(),
        );
    }
}

/// UTC with milliseconds, as env_logger prints it.
fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\u{1b}[1m\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[36m",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    pairs: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            // What the bridge of the `log` crate adds.
            name if name.starts_with("log.") => {}
            name => {
                let _ = write!(self.pairs, " {}={}", Escaped(name), Quoted(value));
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}
