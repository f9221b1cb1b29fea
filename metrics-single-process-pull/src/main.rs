//! Metrics by pull from one process: OpenTelemetry instruments and actix-web-prom
//! on one Prometheus endpoint.
//!
//! Run with
//!
//! ```text
//! cargo run -p metrics-single-process-pull
//! ```
//!
//! and ask `curl localhost:5100` a few times, then `curl localhost:5100/metrics`.

mod check;
mod exposition;
mod http;
mod metrics;
mod metrics_port;
mod resource;
mod routes;
mod telemetry;

use std::process::ExitCode;

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    workers::{self, ServerOptions, Worker},
};
use log::LevelFilter;

use crate::{metrics_port::MetricsPort, telemetry::Telemetry};

/// Metrics by pull from one process: OpenTelemetry and actix-web-prom on one endpoint.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,

    /// Port that serves `/metrics` instead of the application's; 0 picks a free one.
    #[arg(
        long,
        env = "METRICS_PORT",
        value_name = "METRICS_PORT",
        hide_env_values = true,
        value_parser = |text: &str| cli::whole_number(text, 0, u16::MAX),
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
    let port = options.server.port;
    if port != 0 && options.metrics_port == Some(port) {
        cli::usage_error(format_args!(
            "--metrics-port (METRICS_PORT) and --port (PORT) are both {port}: choose another port \
             for metrics, or give none to have /metrics on the application's"
        ));
    }
    init_console();
    workers::serve_alone(&options.server, |worker| serve(worker, &options))
}

async fn serve(mut worker: Worker, options: &Options) -> anyhow::Result<()> {
    let telemetry = Telemetry::init()?; // Take along: the registry, and what is in it,
    let metrics_port = match options.metrics_port {
        Some(port) => Some(MetricsPort::open(
            &options.server.host,
            port,
            telemetry.exposition(),
        )?),
        None => None,
    };
    let url = match &metrics_port {
        Some(port) => format!("http://{}/metrics", port.address()),
        None => worker.address()?.url("/metrics"),
    };
    worker.note(format!("metrics {url}"));

    let service = routes::Service {
        metrics: telemetry.metrics().clone(), // Take along: the instruments,
        http: telemetry.http().clone(),       // Take along: what measures a resource,
        exposition: metrics_port.is_none().then(|| telemetry.exposition()), // Take along: and /metrics.
        error_rate: options.error_rate,
    };
    worker
        .serve(move || App::new().configure(|app| service.configure(app)))
        .await?;
    // Last, so that a scrape is answered until the last request was.
    if let Some(metrics_port) = metrics_port {
        metrics_port.close().await;
    }
    Ok(())
}

/// The console, on stderr. What the libraries say at every start or at every
/// request is off unless `RUST_LOG` names them.
fn init_console() {
    env_logger::Builder::new()
        .filter_level(LevelFilter::Info)
        .filter_module("actix_server", LevelFilter::Warn)
        .filter_module("actix_web_prom", LevelFilter::Error)
        .filter_module("opentelemetry", LevelFilter::Warn)
        .parse_default_env()
        .init();
}
