//! Logs, traces and metrics in one service over several workers, with the `tracing` crate.
//!
//! Run with
//!
//! ```text
//! cargo run -p all-signals
//! ```
//!
//! and ask `curl localhost:5100` a few times.

mod demo;
mod metrics;
mod options;
mod routes;
mod telemetry;

use std::{process::ExitCode, time::Duration};

use actix_web::App;
use common::{
    cli,
    multiprocess::Store,
    telemetry::pull,
    workers::{Master, Worker},
};

use crate::{
    metrics::Metrics,
    options::{Options, Sink},
    routes::{State, WorkError},
};

/// How long the next service may take. Without it a silent one would hold our requests.
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options: Options = cli::parse();
    options.metrics_port.check(&options.workers.server);

    let master = Master::new(&options.workers).on_start(|_| {
        telemetry::init_console();
        anyhow::Ok(())
    });
    #[cfg(feature = "embedded-collector")]
    let master = master
        .on_start(|start| {
            use collector::Signal::{Logs, Metrics, Traces};

            options
                .collector
                .embed_unless_configured(&mut start.environment, &[Logs, Metrics, Traces])
        })
        .on_start(|start| {
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            common::telemetry::prefork::show_workers(start, name, version)
        });
    master
        .on_start(|start| match options.metrics {
            Sink::Push => Ok(None),
            sink => {
                let server = &options.workers.server;
                metrics::share(sink, &options.metrics_port, server, start).map(Some)
            }
        })
        .run(|worker| serve(worker, &options))
}

/// What a worker does.
async fn serve(worker: Worker, options: &Options) -> anyhow::Result<()> {
    let telemetry = telemetry::init(options.metrics);
    let store = match options.metrics {
        Sink::Push => None,
        Sink::PushSum | Sink::Pull => Some(Store::from_env()?),
    };
    let (metrics, observe) = Metrics::register(&telemetry, store.as_ref());
    let observe = observe.error::<WorkError>();
    let state = State {
        metrics,
        error_rate: options.error_rate,
        chain_url: options.chain_url.clone(),
        client: reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()?,
    };
    let exposition = match &store {
        Some(store) if options.metrics_port.metrics_port.is_none() => {
            Some(pull::exposition(store.collector()?, worker.snapshots()))
        }
        _ => None,
    };
    let demo = options.demo;
    let app = move || {
        let app = App::new().configure(|app| {
            routes::configure(app, &state);
            if demo {
                demo::configure(app);
            }
            if let Some(exposition) = &exposition {
                exposition.configure(app);
            }
        });
        app.wrap(observe.clone())
    };
    let served = worker.serve(app).await;
    telemetry.shutdown().await;
    Ok(served?)
}
