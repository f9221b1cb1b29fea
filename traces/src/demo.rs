//! Routes to play with, served with `--demo`: what is hard to trace well.
//!
//! Leave this file out when you copy the scenario: a client decides here how much
//! work it is.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix_web::{
    Error, HttpResponse,
    body::{BodySize, MessageBody},
    http::StatusCode,
    rt::{self, time::sleep},
    web::{self, Bytes, ServiceConfig},
};
use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    context::FutureExt as _,
    trace::{TraceContextExt as _, Tracer as _},
};

use crate::{
    routes::{State, call},
    telemetry,
};

/// Adds the routes.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.service(
        web::scope("/demo")
            .service(web::resource("/threads").get(threads).head(threads))
            .service(web::resource("/baggage").get(baggage).head(baggage))
            .service(web::resource("/relay").get(relay).head(relay))
            .service(web::resource("/burst/{count}").get(burst).head(burst))
            .service(
                web::resource("/sleep/{ms}")
                    .get(sleep_a_while)
                    .head(sleep_a_while),
            )
            .service(web::resource("/status/{code}").get(status).head(status))
            .service(web::resource("/endless").get(endless).head(endless))
            .service(web::resource("/panic").get(panic).head(panic)),
    );
}

/// Works where the request's context is lost unless it is taken along: on the thread
/// pool, and in a task of its own.
async fn threads() -> Result<&'static str, Error> {
    let context = Context::current();
    web::block(move || {
        let _inside = context.attach();
        telemetry::tracer().in_span("in web::block", |_| log::info!("in web::block"));
    })
    .await?;
    let task = async move {
        let span = telemetry::tracer().start("in a spawned task");
        let work = async {
            sleep(Duration::from_millis(1)).await;
            log::info!("in a spawned task");
        };
        work.with_context(Context::current_with_span(span)).await;
    };
    let _ = rt::spawn(task.with_current_context()).await;
    Ok("see the trace\n")
}

/// Answers with the baggage of the request.
async fn baggage() -> String {
    let mut lines: Vec<_> = Context::map_current(|context| {
        let baggage = context.baggage().into_iter();
        baggage
            .map(|(name, (value, _))| format!("{name}={value}\n"))
            .collect()
    });
    lines.sort();
    lines.concat()
}

/// Asks the service that `/chain` would ask for its baggage, and answers the same.
async fn relay(state: web::Data<State>) -> HttpResponse {
    let mut url = state.chain_url.clone();
    url.set_path("/demo/baggage");
    match call(&state.client, url).await {
        Ok(answer) => HttpResponse::Ok().body(answer),
        Err(error) => HttpResponse::BadGateway().body(format!("{error}\n")),
    }
}

/// Makes as many spans as the client wants, up to a million.
async fn burst(count: web::Path<u32>) -> String {
    let count = count.into_inner().min(1_000_000);
    let tracer = telemetry::tracer();
    for _ in 0..count {
        tracer.in_span("one of many", |_| {});
    }
    format!("{count} spans\n")
}

/// Answers late, for a look at what becomes of requests that are cut.
async fn sleep_a_while(ms: web::Path<u64>) -> &'static str {
    log::info!("sleeping");
    sleep(Duration::from_millis(ms.into_inner())).await;
    "awake\n"
}

/// Answers with any status from 200 on.
async fn status(code: web::Path<u16>) -> HttpResponse {
    let status = StatusCode::from_u16(code.into_inner()).ok();
    let status = status.filter(|status| !status.is_informational());
    HttpResponse::build(status.unwrap_or(StatusCode::BAD_REQUEST)).body("as you like\n")
}

/// Answers for as long as the client reads.
async fn endless() -> HttpResponse {
    HttpResponse::Ok().body(Endless)
}

struct Endless;

impl MessageBody for Endless {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(Some(Ok(Bytes::from_static(&[b'.'; 4096]))))
    }
}

async fn panic() -> &'static str {
    panic!("a request asked for it")
}
