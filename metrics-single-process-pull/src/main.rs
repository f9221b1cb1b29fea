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
mod http;
mod routes;
mod telemetry;

use std::process::ExitCode;

use actix_web::{App, middleware::from_fn};
use clap::Parser;
use common::{
    cli,
    telemetry::{Observe, console},
    workers::{self, MetricsPortOption, ServerOptions, Worker},
};

use crate::{http::fold_method, telemetry::Telemetry};

/// Metrics by pull from one process: OpenTelemetry and actix-web-prom on one endpoint.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    metrics_port: MetricsPortOption,

    #[cfg(feature = "embedded-collector")]
    #[command(flatten)]
    collector: collector::EmbedOptions,

    /// Probability, 0 to 1, that a request meets the simulated error.
    #[arg(long, env = "ERROR_RATE", default_value_t = 0.5, value_parser = cli::share)]
    error_rate: f64,
}

fn main() -> ExitCode {
    let options: Options = cli::parse();
    options.metrics_port.check(&options.server);
    console::init();
    workers::serve_alone(&options.server, |worker| serve(worker, &options))
}

async fn serve(mut worker: Worker, options: &Options) -> anyhow::Result<()> {
    let telemetry = Telemetry::init()?;
    let own_port = match options.metrics_port.listen(&options.server)? {
        Some(listeners) => Some(telemetry.exposition.clone().listen(listeners)?),
        None => None,
    };
    let url = match &own_port {
        Some(port) => port.url(),
        None => worker.address()?.url("/metrics"),
    };
    worker.note(format!("metrics {url}"));
    #[cfg(feature = "embedded-collector")]
    let _view = {
        let exposition = telemetry.exposition.clone();
        options.collector.scrape(move || exposition.text())?
    };

    let observe = Observe::new()
        .metrics(telemetry.http.active.clone())
        .skip(["/healthz", "/metrics"]);
    let error_rate = options.error_rate;
    let shows_metrics = own_port.is_none();
    let app = move || {
        let app = App::new().configure(|app| {
            routes::configure(app, &telemetry.metrics, error_rate, &observe);
            if shows_metrics {
                telemetry.exposition.configure(app);
            }
        });
        // From the inside out.
        app.wrap(observe.clone())
            .wrap(telemetry.http.finished.clone())
            .wrap(from_fn(fold_method))
    };
    worker.serve(app).await?;
    // The port is closed last, so that a scrape is answered until the last request was.
    Ok(())
}
