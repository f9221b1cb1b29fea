//! Traces: one trace through several requests and worker processes, over OTLP.
//!
//! Run with
//!
//! ```text
//! cargo run -p traces
//! ```
//!
//! and ask `curl localhost:5100/chain` a few times.

mod chain;
mod client_span;
mod console;
mod delivery;
mod demo;
mod escape;
mod exception;
mod json;
mod otlp;
mod panics;
mod propagation;
mod resource;
mod response_header;
mod routes;
mod sampling;
mod server_span;
mod settings;
mod telemetry;

use std::process::ExitCode;

use actix_web::{App, http::Uri};
use clap::Parser;
use common::{
    cli,
    workers::{self, Master, Worker},
};
use env_filter::FilteredLog;

use crate::{routes::Service, settings::Settings, telemetry::Telemetry};

/// Traces: one trace through several requests and worker processes, over OTLP.
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

    /// What `GET /chain` calls, an http:// URL [default: this service's own `/`].
    #[arg(
        long,
        env = "CHAIN_URL",
        value_name = "CHAIN_URL",
        hide_env_values = true,
        value_parser = chain::parse_url,
    )]
    chain_url: Option<Uri>,

    /// Tell the client the ids of its request in the header `traceresponse`.
    #[arg(long, env = "TRACERESPONSE", hide_env_values = true)]
    traceresponse: bool,

    /// Also serve the routes below /demo: work on other threads, panic, sleep, echo
    /// what a client sends.
    #[arg(long)]
    demo: bool,
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    let settings = Settings::from_env().unwrap_or_else(|error| cli::usage_error(error));
    init_console(&settings);
    panics::record_them(); // Take along: panics as exceptions,

    Master::new(&options.workers)
        .on_start(|start| otlp::prepare(&mut start.environment, otlp::Signal::Traces))
        .run(|worker| serve(worker, &settings, &options))
}

/// What a worker does.
async fn serve(worker: Worker, settings: &Settings, options: &Options) -> anyhow::Result<()> {
    let telemetry = Telemetry::init(settings)?; // Take along: the provider of this process,
    let chain_url = match (&options.chain_url, worker.address()?) {
        (Some(url), _) => url.clone(),
        (None, workers::Address::Tcp(address)) => chain::own_url(address)?,
        (None, address) => anyhow::bail!(
            "the demonstration's client cannot call {address}: set --chain-url or CHAIN_URL"
        ),
    };
    let service = Service {
        error_rate: options.error_rate,
        chain_url,
        traceresponse: options.traceresponse,
        demo: options.demo,
    };
    let served = worker
        .serve(move || App::new().configure(|app| routes::configure(app, &service)))
        .await;
    server_span::all_ended().await; // Take along: spans of what was cut,
    // However serving ended: the spans that have ended are still exported.
    drop(telemetry); // Take along: and the last export.
    Ok(served?)
}

/// The console, on stderr, with the ids of trace and span on each line.
fn init_console(settings: &Settings) {
    let logger = FilteredLog::new(console::logger(), settings.console.clone());
    log::set_max_level(settings.console.filter());
    if log::set_boxed_logger(Box::new(logger)).is_err() {
        eprintln!("warning: another logger is installed already, and this one is not used");
    }
}
