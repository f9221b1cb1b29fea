//! A service with several worker processes.

use std::process::{self, ExitCode};

use actix_prefork::{Error, Master, Options, Worker};
use actix_web::{App, web};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    workers: Options,
}

fn main() -> ExitCode {
    let cli: Cli = actix_prefork::cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    Master::new(&cli.workers).run(serve)
}

async fn serve(worker: Worker) -> Result<(), Error> {
    let app = || App::new().route("/", web::get().to(hello));
    worker.serve(app).await
}

async fn hello() -> String {
    format!("Hello from {}!\n", process::id())
}
