//! What the service does. One request is a trace with the spans of `#[instrument]`ed
//! functions, log records that carry its ids, and increments.

use std::process;

use actix_web::{
    HttpResponse, ResponseError,
    web::{self, Data, ServiceConfig},
};
use common::telemetry::client;
use reqwest::{Client, StatusCode, Url};
use tracing::instrument;

use crate::metrics::Metrics;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) metrics: Metrics,
    pub(crate) error_rate: f64,
    /// What `GET /chain` calls.
    pub(crate) chain_url: Option<Url>,
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
    state.metrics.requests.add(1, &[]);
    tracing::info!("Request received");
    if let Err(error) = internal_work(state.error_rate).await {
        // The client is not told.
        state.metrics.errors.add(1, &[]);
        tracing::error!(exception.message = %error, "the internal work failed");
    }
    format!("Hello from {}!", process::id())
}

async fn healthz() -> &'static str {
    "ok"
}

#[derive(Debug, thiserror::Error)]
#[error("a random error occurred")]
pub(crate) struct WorkError;

impl ResponseError for WorkError {}

/// Stands for work that sometimes fails, in a span of its own.
#[instrument(err(level = "debug"))]
pub(crate) async fn internal_work(error_rate: f64) -> Result<(), WorkError> {
    match fastrand::f64() < error_rate {
        true => Err(WorkError),
        false => Ok(()),
    }
}

async fn chain(state: Data<State>) -> HttpResponse {
    call_next(&state).await
}

/// Calls the next service, with a client span and the context sent along.
pub(crate) async fn call_next(state: &State) -> HttpResponse {
    let Some(url) = state.chain_url.clone() else {
        return HttpResponse::NotFound().body("no other service: set CHAIN_URL\n");
    };
    match call(&state.client, url).await {
        Ok(status) => HttpResponse::Ok().body(format!("the next service answered {status}\n")),
        Err(error) => {
            let error = error.without_url();
            tracing::error!("the call of the next service failed: {error}");
            HttpResponse::BadGateway().body("the next service cannot be reached\n")
        }
    }
}

#[instrument(skip_all)]
async fn call(client: &Client, url: Url) -> reqwest::Result<StatusCode> {
    let request = client.get(url).build()?;
    let response = client::send(client, request).await?;
    Ok(response.error_for_status()?.status())
}
