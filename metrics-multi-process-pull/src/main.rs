//! Metrics by pull from many processes: any worker answers with the sum over all.
//!
//! Run with
//!
//! ```text
//! cargo run -p metrics-multi-process-pull
//! ```
//!
//! and ask `curl localhost:5100` a few times, then `curl localhost:5100/metrics`.

mod exposition;
mod metrics;
mod routes;
mod supervision;
mod sweeper;
mod target;
mod telemetry;

use std::{
    cell::OnceCell,
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

use crate::{sweeper::Sweeper, telemetry::Telemetry};

/// Metrics by pull from many processes: any worker answers with the sum over all.
#[derive(Clone, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    workers: workers::Options,

    /// Port to serve /metrics on, instead of on the port of the service.
    #[arg(
        long,
        env = "METRICS_PORT",
        value_name = "METRICS_PORT",
        hide_env_values = true
    )]
    metrics_port: Option<u16>,

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
    exposition::check_port(options.metrics_port, options.workers.server.port)
        .unwrap_or_else(|error| cli::usage_error(error));
    init_console();

    let sweeper = OnceCell::new();
    Master::new(&options.workers)
        .on_start(|start| {
            let directory = telemetry::prepare(start)?; // Take along: the directory, in the master,
            target::store_info(directory.store())?;
            let _ = sweeper.set(Sweeper::start(directory.clone())?);
            let host = &options.workers.server.host;
            let port = exposition::serve_alone(host, options.metrics_port, &directory, start)?;
            anyhow::Ok((port, directory))
        })
        .on_exit(|_| sweeper.get().into_iter().for_each(Sweeper::wake))
        .run(|worker| serve(worker, options.clone()))
}

/// What a worker does.
async fn serve(worker: Worker, options: Options) -> anyhow::Result<()> {
    let telemetry = Telemetry::init()?; // Take along: the metrics, in each worker,
    let snapshots = worker.snapshots();
    let app = move || {
        let app = App::new()
            .configure(|app| routes::configure(app, &telemetry.metrics, options.error_rate));
        match options.metrics_port {
            Some(_) => app,
            None => app.configure(|app| exposition::configure(app, &telemetry, &snapshots)), // Take along: and /metrics.
        }
    };
    worker.serve(app).await?;
    Ok(())
}

/// The console, on stderr, with the process that speaks.
fn init_console() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
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
