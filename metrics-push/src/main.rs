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
mod otlp;
mod report;
mod resource;
mod routes;
mod supervision;
mod telemetry;

use std::{
    io::Write as _,
    process::{self, ExitCode},
};

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    workers::{self, Master, Worker},
};
use log::LevelFilter;

use crate::{supervision::Supervision, telemetry::Telemetry};

/// Metrics by push: each worker process exports its own over OTLP.
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
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    let settings = telemetry::Settings::from_env().unwrap_or_else(|error| cli::usage_error(error));
    init_console();

    Master::new(&options.workers)
        .on_start(|start| {
            let collector = otlp::prepare(&mut start.environment, otlp::Signal::Metrics)?;
            let supervision = Supervision::begin(start, &settings)?;
            // Dropped in this order.
            anyhow::Ok((supervision, collector))
        })
        .run(|worker| serve(worker, settings.clone(), options.error_rate))
}

/// What a worker does.
async fn serve(
    worker: Worker,
    settings: telemetry::Settings,
    error_rate: f64,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::init(&settings)?; // Take along: the provider of this process,
    let metrics = telemetry.metrics().clone(); // Take along: its instruments,
    worker
        .serve(move || App::new().configure(|app| routes::configure(app, &metrics, error_rate)))
        .await?;
    telemetry.shutdown(); // Take along: and the last push.
    Ok(())
}

/// The console, on stderr, with the process that speaks. The SDK's own messages
/// are off unless `RUST_LOG` names them: what matters is said by `report`.
fn init_console() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .filter_module("opentelemetry", LevelFilter::Off)
        .parse_default_env()
        .format(|out, record| {
            let (time, pid) = (out.timestamp(), process::id());
            let (level, style) = (record.level(), out.default_level_style(record.level()));
            let (target, text) = (record.target(), record.args());
            writeln!(
                out,
                "[{time} {style}{level:<5}{style:#} {pid} {target}] {text}"
            )
        })
        .init();
}
