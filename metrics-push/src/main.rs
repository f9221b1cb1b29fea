//! Metrics by push: each worker process exports its own over OTLP.
//!
//! Run with
//!
//! ```text
//! cargo run -p metrics-push
//! ```
//!
//! and ask `curl localhost:5100` a few times.

mod metrics;
mod routes;
mod telemetry;

use std::process::ExitCode;

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    telemetry::{Observe, console, prefork, shutdown},
    workers::{self, Master, Worker},
};
use opentelemetry::metrics::MeterProvider as _;

use crate::metrics::Metrics;

/// Metrics by push: each worker process exports its own over OTLP.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    workers: workers::Options,

    #[cfg(feature = "embedded-collector")]
    #[command(flatten)]
    collector: collector::EmbedOptions,

    /// Probability, 0 to 1, that a request meets the simulated error.
    #[arg(long, env = "ERROR_RATE", default_value_t = 0.5, value_parser = cli::share)]
    error_rate: f64,
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    console::init();

    let master = Master::new(&options.workers);
    #[cfg(feature = "embedded-collector")]
    let master = master.on_start(|start| {
        let signals = [collector::Signal::Metrics];
        options
            .collector
            .embed_unless_configured(&mut start.environment, &signals)
    });
    master
        .on_start(|start| {
            prefork::push_harness_metrics(start, telemetry::resource(), telemetry::INTERVAL)
        })
        .run(|worker| serve(worker, options.error_rate))
}

/// What a worker does.
async fn serve(worker: Worker, error_rate: f64) -> anyhow::Result<()> {
    let provider = telemetry::init();
    let metrics = Metrics::new(&provider.meter(env!("CARGO_PKG_NAME")));
    let observe = Observe::new()
        .metrics(metrics.http.clone())
        .skip(["/healthz"]);
    let served = worker
        .serve(move || {
            App::new()
                .configure(|app| routes::configure(app, &metrics, error_rate))
                .wrap(observe.clone())
        })
        .await;
    shutdown([provider]).await; // The last push.
    Ok(served?)
}
