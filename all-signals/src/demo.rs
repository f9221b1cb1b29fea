//! Routes to play with, served with `--demo`: what is hard to observe well, and the faults
//! of docs/incidents.
//!
//! Leave this file out when you copy the scenario: a client can block or end a worker here.

use std::{mem, process, thread, time::Duration};

use actix_web::{
    HttpResponse,
    rt::{self, task::spawn_blocking, time::sleep},
    web::{self, Data, Path, ServiceConfig},
};
use tracing::{Instrument as _, Span, instrument};

use crate::routes::{State, WorkError, call_next, internal_work};

/// The longest that a request blocks its worker, in milliseconds.
const BLOCK_LIMIT: u64 = 60_000;
/// The most that a request leaks, in MiB, and the most orders that one asks for.
const LIMIT: usize = 100;

/// Adds the routes.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.service(
        web::scope("/demo")
            .service(web::resource("/threads").get(threads).head(threads))
            .service(web::resource("/fail").get(fail).head(fail))
            .service(web::resource("/panic").get(panic).head(panic))
            .service(web::resource("/crash").get(crash).head(crash))
            .service(web::resource("/block/{ms}").get(block).head(block))
            .service(web::resource("/sleep/{ms}").get(wait).head(wait))
            .service(web::resource("/leak/{mib}").get(leak).head(leak))
            .service(web::resource("/orders/{count}").get(orders).head(orders)),
    );
}

/// Works where the span of the request is lost unless it is taken along: on the thread
/// pool, and in a task of its own.
async fn threads() -> &'static str {
    on_other_threads().await;
    "see the trace\n"
}

#[instrument]
async fn on_other_threads() {
    let span = Span::current();
    let blocking = spawn_blocking(move || span.in_scope(|| tracing::info!("in web::block")));
    let task = async { tracing::info!("in a spawned task") };
    let _ = rt::spawn(task.in_current_span()).await;
    let _ = blocking.await;
}

async fn fail() -> Result<&'static str, WorkError> {
    internal_work(1.0).await?;
    Ok("never")
}

async fn panic() -> &'static str {
    panic!("a request asked for it")
}

/// Ends the worker by SIGABRT, as a failed assertion in a C library does.
async fn crash() -> &'static str {
    process::abort()
}

/// Blocks the serving thread, as a slow computation or a blocking call in a handler does.
async fn block(ms: Path<u64>) -> &'static str {
    tracing::warn!("blocking the serving thread for {ms} ms");
    thread::sleep(Duration::from_millis((*ms).min(BLOCK_LIMIT)));
    "blocked\n"
}

/// Answers late without blocking the thread.
async fn wait(ms: Path<u64>) -> &'static str {
    sleep(Duration::from_millis(*ms)).await;
    "awake\n"
}

/// Keeps memory that nothing will use again.
async fn leak(mib: Path<usize>) -> String {
    let mib = (*mib).min(LIMIT);
    mem::forget(vec![1_u8; mib << 20]);
    tracing::warn!("leaked {mib} MiB");
    format!("{mib} MiB\n")
}

/// Asks the next service once for each order, where one request for all would do.
async fn orders(count: Path<usize>, state: Data<State>) -> HttpResponse {
    let count = (*count).min(LIMIT);
    for _ in 0..count {
        let answer = call_next(&state).await;
        if !answer.status().is_success() {
            return answer;
        }
    }
    HttpResponse::Ok().body(format!("{count} orders\n"))
}
