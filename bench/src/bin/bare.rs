//! Baseline of the scenarios: actix-web on one thread, without telemetry.

use std::{env, process};

use actix_web::{App, HttpServer, Responder, get};
use anyhow::{Context, Result};

#[actix_web::main]
async fn main() -> Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "5100".to_owned());
    let port: u16 = port
        .parse()
        .with_context(|| format!("PORT is {port:?}, expected a number from 0 to 65535"))?;
    let server = HttpServer::new(|| App::new().service(hello))
        .workers(1)
        .bind(("127.0.0.1", port))
        .with_context(|| format!("cannot listen on port {port}; PORT=0 picks a free one"))?;
    for addr in server.addrs() {
        eprintln!("bare: ready on http://{addr}, process {}", process::id());
    }
    server.run().await.context("the server failed")
}

#[get("/")]
async fn hello() -> impl Responder {
    format!("Hello from {}!", process::id())
}
