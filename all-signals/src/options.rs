//! The command line.

use clap::{Parser, ValueEnum};
use common::{
    cli,
    telemetry::client::http_url,
    workers::{self, MetricsPortOption},
};
use reqwest::Url;

/// Logs, traces and metrics in one service over several workers, with the `tracing` crate.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) workers: workers::Options,

    /// How metrics leave the service.
    #[arg(long, env = "METRICS", default_value = "push")]
    pub(crate) metrics: Sink,

    #[command(flatten)]
    pub(crate) metrics_port: MetricsPortOption,

    #[cfg(feature = "embedded-collector")]
    #[command(flatten)]
    pub(crate) collector: collector::EmbedOptions,

    /// Probability, 0 to 1, that a request meets the simulated error.
    #[arg(long, env = "ERROR_RATE", default_value_t = 0.5, value_parser = cli::share)]
    pub(crate) error_rate: f64,

    /// http:// URL that `GET /chain` calls.
    #[arg(long, env = "CHAIN_URL", value_parser = http_url)]
    pub(crate) chain_url: Option<Url>,

    /// Also serve the routes below /demo: work on other threads, fail, panic, crash, block
    /// a worker, leak memory.
    #[arg(long)]
    pub(crate) demo: bool,
}

/// How metrics leave the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sink {
    /// Each worker pushes its metrics over OTLP.
    Push,
    /// The master pushes the sum over the workers over OTLP.
    PushSum,
    /// Prometheus scrapes /metrics; any worker answers with the sum over all.
    Pull,
}
