//! Routes to play with, served with `--demo`: what is hard to log well.
//!
//! Leave this file out when you copy the scenario: a client can end a worker here.

use std::time::Duration;

use actix_web::{
    Error,
    rt::{self, time::sleep},
    web::{self, Bytes, PayloadConfig, ServiceConfig},
};
use opentelemetry::{Context, context::FutureExt as _};

/// The largest body that is echoed, in bytes.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Adds the routes.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.service(
        web::scope("/demo")
            .app_data(PayloadConfig::new(BODY_LIMIT))
            .service(web::resource("/threads").get(threads).head(threads))
            .service(web::resource("/values").get(values).head(values))
            .route("/echo", web::post().to(echo))
            .service(web::resource("/burst/{count}").get(burst).head(burst))
            .service(
                web::resource("/sleep/{ms}")
                    .get(sleep_a_while)
                    .head(sleep_a_while),
            )
            .service(web::resource("/panic").get(panic).head(panic))
            .service(web::resource("/crash").get(crash).head(crash)),
    );
}

/// Logs where the request's context is lost unless it is taken along: on the thread
/// pool, and in a task of its own.
async fn threads() -> Result<&'static str, Error> {
    let context = Context::current();
    web::block(move || {
        let _inside = context.attach();
        log::info!("in web::block");
    })
    .await?;
    let task = async { log::info!("in a spawned task") };
    let _ = rt::spawn(task.with_current_context()).await;
    log::info!("in the handler");
    Ok("see the log\n")
}

#[derive(serde::Serialize)]
struct Basket {
    items: Vec<&'static str>,
    total: f64,
}

/// Logs values of every type.
async fn values() -> &'static str {
    let basket = Basket {
        items: vec!["tea", "milk"],
        total: 4.5,
    };
    log::info!(user = "x", n = 3, ratio = 0.5, paid = true, basket:serde = basket; "typed values");
    "see the log\n"
}

/// Logs what the client sends.
async fn echo(body: Bytes) -> &'static str {
    let text = String::from_utf8_lossy(&body);
    log::info!(said:% = text; "a client said {text}");
    "see the log\n"
}

/// Logs as many records as the client wants, up to a million.
async fn burst(count: web::Path<u32>) -> String {
    let count = count.into_inner().min(1_000_000);
    for n in 0..count {
        log::info!(target: "burst", n; "one of many");
    }
    format!("{count} records\n")
}

/// Answers late, for a look at what becomes of requests that are cut.
async fn sleep_a_while(ms: web::Path<u64>) -> &'static str {
    log::info!("sleeping");
    sleep(Duration::from_millis(ms.into_inner())).await;
    "awake\n"
}

async fn panic() -> &'static str {
    panic!("a request asked for it")
}

/// Panics while a panic unwinds, which ends the process.
async fn crash() -> &'static str {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("and once more");
        }
    }
    let _bad = Bad;
    panic!("a request asked for the end")
}
