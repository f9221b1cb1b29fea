//! Baseline of metrics-single-process-pull: actix-web on one thread with actix-web-prom, set up as in its README.

use std::{env, process};

use actix_web::{App, HttpServer, Responder, get};
use actix_web_prom::PrometheusMetricsBuilder;
use anyhow::{Context, Result, anyhow};

#[actix_web::main]
async fn main() -> Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "5100".to_owned());
    let port: u16 = port
        .parse()
        .with_context(|| format!("PORT is {port:?}, expected a number from 0 to 65535"))?;
    let metrics = PrometheusMetricsBuilder::new("bench")
        .endpoint("/metrics")
        .build()
        .map_err(|error| anyhow!(error).context("cannot register the metrics"))?;
    let server = HttpServer::new(move || App::new().wrap(metrics.clone()).service(hello))
        .workers(1)
        .bind(("127.0.0.1", port))
        .with_context(|| format!("cannot listen on port {port}; PORT=0 picks a free one"))?;
    for addr in server.addrs() {
        eprintln!(
            "actix_web_prom: ready on http://{addr}, process {}",
            process::id()
        );
    }
    server.run().await.context("the server failed")
}

#[get("/")]
async fn hello() -> impl Responder {
    format!("Hello from {}!", process::id())
}
