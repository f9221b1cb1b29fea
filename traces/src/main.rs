//! Traces: one trace through several requests and worker processes, over OTLP.
//!
//! Run with
//!
//! ```text
//! cargo run -p traces
//! ```
//!
//! and ask `curl localhost:5100/chain` a few times.

mod demo;
mod options;
mod routes;
mod telemetry;

use std::{process::ExitCode, time::Duration};

use actix_web::App;
use common::{
    cli,
    telemetry::{Observe, console, panics, sampler, shutdown},
    workers::{Master, Worker},
};

use crate::{options::Options, routes::State};

/// What a call may take, from the connection to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options: Options = cli::parse();
    console::init();
    panics::install();

    let master = Master::new(&options.workers);
    #[cfg(feature = "embedded-collector")]
    let master = master
        .on_start(|start| {
            let signals = [collector::Signal::Traces];
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
    let state = State {
        error_rate: options.error_rate,
        chain_url: options.chain_url(&worker.address()?)?,
        client: reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            // A new connection each time, so that another worker may answer.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()?,
    };
    let observe = Observe::new()
        .spans()
        .sampler(sampler()) // Unsampled requests create no span.
        .traceresponse(options.traceresponse)
        .skip(["/healthz"]);
    let demo = options.demo;
    let served = worker
        .serve(move || {
            let app = App::new().configure(|app| routes::configure(app, &state));
            let app = if demo {
                app.configure(demo::configure)
            } else {
                app
            };
            app.wrap(observe.clone())
        })
        .await;
    // However serving ended, the spans that have ended are still exported.
    shutdown([provider]).await;
    Ok(served?)
}
