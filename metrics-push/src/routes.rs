//! What the service does.

use std::process;

use actix_web::web::{self, Data, ServiceConfig};

use crate::metrics::Metrics;

struct State {
    metrics: Metrics,
    error_rate: f64,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, metrics: &Metrics, error_rate: f64) {
    let metrics = metrics.clone();
    app.app_data(Data::new(State {
        metrics,
        error_rate,
    }))
    .service(web::resource("/").get(index).head(index))
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
