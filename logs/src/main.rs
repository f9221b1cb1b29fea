//! Logs: the `log` crate to the console and to OpenTelemetry at once, correlated.
//!
//! Run with
//!
//! ```text
//! cargo run -p logs
//! ```
//!
//! and ask `curl localhost:5100` a few times.

mod access;
mod console;
mod delivery;
mod demo;
mod enrich;
mod escape;
mod exception;
mod json;
mod limit;
mod logger;
mod otlp;
mod panics;
mod request;
mod resource;
mod routes;
mod settings;
mod telemetry;

use std::process::ExitCode;

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    workers::{self, Master, Worker},
};

use crate::{logger::Logger, settings::Settings, telemetry::Telemetry};

/// Logs: the `log` crate to the console and to OpenTelemetry at once, correlated.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    workers: workers::Options,

    /// The chance, from 0 to 1, that a request meets the simulated internal error.
    #[arg(
        long,
        env = "ERROR_RATE",
        value_name = "ERROR_RATE",
        hide_env_values = true,
        default_value_t = 0.5,
        value_parser = routes::parse_error_rate,
    )]
    error_rate: f64,

    /// Also serve the routes below /demo: log from other threads, log what a client
    /// sends, panic, crash.
    #[arg(long)]
    demo: bool,
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    let settings = Settings::from_env().unwrap_or_else(|error| cli::usage_error(error));
    let logger = Logger::install(&settings); // Take along: both places of a record,
    panics::log_them(); // Take along: panics as records,

    Master::new(&options.workers)
        .on_start(|start| otlp::prepare(&mut start.environment, otlp::Signal::Logs))
        .run(|worker| serve(worker, &settings, logger, &options))
}

/// What a worker does.
async fn serve(
    worker: Worker,
    settings: &Settings,
    logger: &'static Logger,
    options: &Options,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::init(settings, logger)?; // Take along: the provider of this process,
    let (error_rate, demo) = (options.error_rate, options.demo);
    let served = worker
        .serve(move || App::new().configure(|app| routes::configure(app, error_rate, demo)))
        .await;
    access::all_written().await;
    // However serving ended: what was logged is still exported.
    drop(telemetry); // Take along: and the last export.
    Ok(served?)
}
