//! A service whose worker processes share their metrics. The README explains it step by step.
//!
//! Run with `cargo run -p common --features multiprocess --example shop`, then
//! `curl localhost:5100/orders/7` and `curl localhost:5100/metrics`.

use std::process::ExitCode;

use actix_web::{App, HttpResponse, error::ErrorInternalServerError, web};
use clap::Parser;
use common::{
    multiprocess::{
        CONTENT_TYPE, CounterVec, DIRECTORY_VARIABLE, Directory, MultiProcessCollector, Store,
    },
    workers::{Master, Options, Start, Worker},
};
use prometheus::Opts;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    workers: Options,
}

fn main() -> ExitCode {
    let cli: Cli = common::cli::parse();
    env_logger::init();
    Master::new(&cli.workers).on_start(prepare).run(serve)
}

/// In the master: the directory, kept until the last worker has ended.
fn prepare(start: &mut Start) -> anyhow::Result<Directory> {
    let directory = Directory::from_env()?;
    let path = directory.path().display().to_string();
    start.environment.insert(DIRECTORY_VARIABLE.into(), path);
    Ok(directory)
}

/// In each worker: its metrics, and the service.
async fn serve(worker: Worker) -> anyhow::Result<()> {
    let store = Store::from_env()?;
    let orders = Opts::new("orders", "Orders looked at");
    let orders = store.counter_vec(orders, &["kind"])?;
    let collector = web::Data::new(store.collector()?);
    let app = move || {
        App::new()
            .app_data(web::Data::new(orders.clone()))
            .app_data(collector.clone())
            .route("/orders/{id}", web::get().to(order))
            .route("/metrics", web::get().to(metrics))
    };
    Ok(worker.serve(app).await?)
}

async fn order(id: web::Path<u32>, orders: web::Data<CounterVec>) -> String {
    let kind = if *id < 100 { "old" } else { "new" };
    orders.with_label_values(&[kind]).inc();
    format!("order {id}\n")
}

async fn metrics(collector: web::Data<MultiProcessCollector>) -> actix_web::Result<HttpResponse> {
    let merged = web::block(move || {
        let mut text = String::new();
        collector.encode_text(&mut text).map(|()| text)
    });
    let text = merged.await?.map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}
