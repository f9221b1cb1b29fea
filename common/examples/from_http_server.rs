//! A service that moved from `HttpServer` to worker processes. It shows where each
//! part of `main` goes: what runs once, and what runs in every worker.
//!
//! `docs/adopt.md` explains it step by step.

use std::{io, process::ExitCode, time::Duration};

use actix_web::{
    App,
    rt::{self, System, time},
    web,
};
use clap::Parser;
use common::{
    cli,
    workers::{Error, Master, Options, Start, Worker},
};

/// Database connections of the whole service.
const CONNECTIONS: u16 = 20;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    workers: Options,
}

/// Stands for a connection pool.
struct Pool {
    size: u16,
}

fn main() -> ExitCode {
    let cli: Cli = cli::parse();
    let size = (CONNECTIONS / cli.workers.workers).max(1);
    Master::new(&cli.workers)
        .on_start(prepare)
        .run(|worker| serve(worker, size))
}

/// Runs once, in the master, before the first worker starts.
fn prepare(_: &mut Start) -> io::Result<()> {
    System::new().block_on(migrate())
}

/// Stands for `sqlx::migrate!().run(&pool)` and the like.
async fn migrate() -> io::Result<()> {
    Ok(())
}

/// Runs in every worker.
async fn serve(worker: Worker, size: u16) -> Result<(), Error> {
    let pool = web::Data::new(Pool { size });
    if worker.slot() == 0 {
        rt::spawn(delete_expired_sessions(pool.clone()));
    }
    let app = move || {
        App::new()
            .app_data(pool.clone())
            .route("/", web::get().to(index))
    };
    worker.serve(app).await
}

async fn delete_expired_sessions(_: web::Data<Pool>) {
    let mut hourly = time::interval(Duration::from_secs(3600));
    loop {
        hourly.tick().await;
    }
}

async fn index(pool: web::Data<Pool>) -> String {
    format!("{} connections\n", pool.size)
}
