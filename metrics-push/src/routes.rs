//! What the service does.

use std::process;

use actix_web::web::{self, ServiceConfig};
use common::{CatchPanic, measure::Measure};

use crate::metrics::{HttpObserver, Metrics};

struct State {
    metrics: Metrics,
    error_rate: f64,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, metrics: &Metrics, error_rate: f64) {
    let state = State {
        metrics: metrics.clone(),
        error_rate,
    };
    let observed = |route| Measure::new(HttpObserver::new(metrics, route));
    app.app_data(web::Data::new(state))
        .service(
            web::resource("/")
                .wrap(CatchPanic)
                .wrap(observed("/"))
                .route(web::get().to(index)),
        )
        // In no metric: it is asked all the time, and says nothing of the service's use.
        .route("/healthz", web::get().to(healthz));
}

async fn index(state: web::Data<State>) -> String {
    state.metrics.requests.add(1, &[]);
    if let Err(error) = internal_work(state.error_rate) {
        // The client is not told.
        state.metrics.errors.add(1, &[]);
        log::error!("GET /: {error}");
    }
    format!("Hello from {}!", process::id())
}

async fn healthz() -> &'static str {
    "ok"
}

/// Stands for work that sometimes fails.
fn internal_work(error_rate: f64) -> Result<(), &'static str> {
    if fastrand::f64() < error_rate {
        return Err("a random error occurred");
    }
    Ok(())
}

/// Parses a chance from 0 to 1.
pub(crate) fn parse_error_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("numbers from 0 to 1 are allowed".to_owned()),
    }
}
