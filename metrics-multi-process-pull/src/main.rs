//! Metrics by pull from many processes: any worker answers with the sum over all.
//!
//! Run with
//!
//! ```text
//! cargo run -p metrics-multi-process-pull
//! ```
//!
//! and ask `curl localhost:5100` a few times, then `curl localhost:5100/metrics`.

mod routes;
mod telemetry;

use std::process::ExitCode;

use actix_web::App;
use clap::Parser;
use common::{
    cli,
    multiprocess::Store,
    telemetry::{
        Observe, console,
        pull::{Exposition, MetricsPort},
    },
    workers::{self, Master, MetricsPortOption, Start, Worker},
};

use crate::telemetry::Metrics;

/// Metrics by pull from many processes: any worker answers with the sum over all.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    workers: workers::Options,

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
    options.metrics_port.check(&options.workers.server);
    console::init();

    Master::new(&options.workers)
        .on_start(|start| {
            let directory = telemetry::prepare(start)?;
            let snapshots = Some(start.snapshots.clone());
            let exposition = telemetry::exposition(directory.store(), snapshots)?;
            let port = listen(&options, exposition.clone(), start)?;
            #[cfg(feature = "embedded-collector")]
            let view = options.collector.scrape(move || exposition.text())?;
            #[cfg(not(feature = "embedded-collector"))]
            let view = ();
            anyhow::Ok((view, port, directory))
        })
        .run(|worker| serve(worker, &options))
}

/// Serves `/metrics` in the master if it has a port of its own: it answers also while
/// every worker is busy or dead.
fn listen(
    options: &Options,
    exposition: Exposition,
    start: &mut Start,
) -> anyhow::Result<Option<MetricsPort>> {
    let Some(listeners) = options.metrics_port.listen(&options.workers.server)? else {
        return Ok(None);
    };
    let port = exposition.listen(listeners)?;
    start.notes.push(format!("metrics {}", port.url()));
    Ok(Some(port))
}

/// What a worker does.
async fn serve(worker: Worker, options: &Options) -> anyhow::Result<()> {
    let store = Store::from_env()?;
    let metrics = Metrics::register(&store)?;
    let exposition = telemetry::exposition(&store, worker.snapshots())?;
    let exposition = options
        .metrics_port
        .metrics_port
        .is_none()
        .then_some(exposition);
    let observe = Observe::new()
        .metrics(metrics.http.clone())
        .skip(["/healthz", "/metrics"]);
    let error_rate = options.error_rate;
    let app = move || {
        let app = App::new().configure(|app| {
            routes::configure(app, &metrics, error_rate);
            if let Some(exposition) = &exposition {
                exposition.configure(app);
            }
        });
        app.wrap(observe.clone())
    };
    Ok(worker.serve(app).await?)
}
