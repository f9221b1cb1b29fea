//! What the service does.

use std::process;

use actix_web::{
    middleware::from_fn,
    web::{self, Data, ServiceConfig},
};
use common::telemetry::Observe;

use crate::{http::answer_errors, telemetry::Metrics};

struct State {
    metrics: Metrics,
    error_rate: f64,
}

/// Adds the routes to an application.
pub(crate) fn configure(
    app: &mut ServiceConfig,
    metrics: &Metrics,
    error_rate: f64,
    observe: &Observe,
) {
    let metrics = metrics.clone();
    let root = web::resource("/").get(index).head(index);
    let root = root
        .wrap(observe.record_errors())
        .wrap(from_fn(answer_errors));
    app.app_data(Data::new(State {
        metrics,
        error_rate,
    }))
    .service(root)
    .service(web::resource("/healthz").get(healthz).head(healthz));
}

async fn index(state: Data<State>) -> String {
    state.metrics.requests.add(1, &[]);
    // Stands for work that sometimes fails. The client is not told.
    if fastrand::f64() < state.error_rate {
        state.metrics.errors.add(1, &[]);
        log::error!("GET /: a random error occurred");
    }
    format!("Hello from {}!", process::id())
}

async fn healthz() -> &'static str {
    "ok"
}
