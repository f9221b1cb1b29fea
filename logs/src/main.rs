//! Logs: the `log` crate to the console and to OpenTelemetry at once, correlated.
//!
//! Run with
//!
//! ```text
//! cargo run -p logs
//! ```
//!
//! and ask `curl localhost:5100` a few times.

mod demo;
mod routes;
mod telemetry;

use std::process::ExitCode;

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    telemetry::{Observe, logger, panics, shutdown},
    workers::{self, Master, Worker},
};

/// Logs: the `log` crate to the console and to OpenTelemetry at once, correlated.
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

    /// Also serve the routes below /demo: log from other threads, log what a client
    /// sends, panic, crash.
    #[arg(long)]
    demo: bool,
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    logger::install(); // The console, in the master too.
    panics::install();

    let master = Master::new(&options.workers);
    #[cfg(feature = "embedded-collector")]
    let master = master
        .on_start(|start| {
            let signals = [collector::Signal::Logs];
            options
                .collector
                .embed_unless_configured(&mut start.environment, &signals)
        })
        .on_start(|start| {
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            common::telemetry::prefork::show_workers(start, name, version)
        });
    master.run(|worker| serve(worker, &options))
}

/// What a worker does.
async fn serve(worker: Worker, options: &Options) -> anyhow::Result<()> {
    let provider = telemetry::init();
    let observe = Observe::new().logs().skip(["/healthz"]);
    let (error_rate, demo) = (options.error_rate, options.demo);
    let served = worker
        .serve(move || {
            App::new()
                .configure(|app| routes::configure(app, error_rate, demo))
                .wrap(observe.clone())
        })
        .await;
    // However serving ended, what was logged is still exported.
    shutdown([provider]).await;
    Ok(served?)
}
