//! What the service does.

use std::process;

use actix_web::{
    HttpResponse,
    web::{self, Data, ServiceConfig},
};
use common::telemetry::{Exception, client};
use opentelemetry::{
    KeyValue,
    trace::{Status, TraceContextExt as _, Tracer as _, get_active_span},
};
use reqwest::{Client, Url};

use crate::telemetry;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) error_rate: f64,
    /// What `GET /chain` calls.
    pub(crate) chain_url: Url,
    pub(crate) client: Client,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, state: &State) {
    app.app_data(Data::new(state.clone()))
        .service(web::resource("/").get(index).head(index))
        .service(web::resource("/chain").get(chain).head(chain))
        .service(web::resource("/healthz").get(healthz).head(healthz));
}

async fn index(state: Data<State>) -> String {
    log::info!("Request received");
    if let Err(error) = internal_work(state.error_rate) {
        // The client is not told and gets what it asked for, so the span of the
        // request is no error. It has an event, to be found by.
        let kind = KeyValue::new("exception.type", Exception::of(&error).kind);
        let event = "internal error, not shown to the client";
        get_active_span(|span| span.add_event(event, vec![kind]));
        log::error!("{error}");
    }
    format!("Hello from {}!", process::id())
}

async fn healthz() -> &'static str {
    "ok"
}

/// Says hello, and what the next service says: a request that causes another one, as
/// a rule in another worker.
async fn chain(state: Data<State>) -> HttpResponse {
    match call(&state.client, state.chain_url.clone()).await {
        Ok(answer) => HttpResponse::Ok().body(format!("Hello from {}!\n{answer}", process::id())),
        Err(error) => {
            log::error!("the call of the next service failed: {error}");
            HttpResponse::BadGateway().body("the next service cannot be reached\n")
        }
    }
}

/// The longest response that is read, in bytes.
const LIMIT: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Failed(reqwest::Error),
    #[error("the response is longer than {LIMIT} bytes")]
    TooLong,
}

impl From<reqwest::Error> for CallError {
    /// Without the URL, which may hold secrets.
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(error.without_url())
    }
}

/// Calls a service, with a span and the context sent along.
pub(crate) async fn call(client: &Client, url: Url) -> Result<String, CallError> {
    let request = client.get(url).build()?;
    let response = client::send(client, request).await?;
    let mut response = response.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LIMIT {
            return Err(CallError::TooLong);
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[derive(Debug, thiserror::Error)]
#[error("the internal work was not done")]
struct WorkError {
    source: RandomError,
}

#[derive(Debug, thiserror::Error)]
#[error("a random error occurred")]
struct RandomError;

/// Stands for work that sometimes fails, in a span of its own.
fn internal_work(error_rate: f64) -> Result<(), WorkError> {
    telemetry::tracer().in_span("internal work", |context| {
        if fastrand::f64() >= error_rate {
            return Ok(());
        }
        let error = WorkError {
            source: RandomError,
        };
        let span = context.span();
        span.add_event("exception", Exception::of(&error).attributes());
        span.set_status(Status::error(error.to_string()));
        Err(error)
    })
}
