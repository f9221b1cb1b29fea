//! What the service does.

use std::process;

use actix_web::web::{self, Data, ServiceConfig};
use common::telemetry::Exception;

use crate::demo;

struct State {
    error_rate: f64,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, error_rate: f64, demo: bool) {
    app.app_data(Data::new(State { error_rate }))
        .service(web::resource("/").get(index).head(index))
        .service(web::resource("/healthz").get(healthz).head(healthz));
    if demo {
        demo::configure(app);
    }
}

async fn index(state: Data<State>) -> String {
    log::info!("Request received");
    if let Err(error) = internal_work(state.error_rate) {
        // The client is not told.
        let exception = Exception::of(&error);
        log::error!(
            "exception.type" = exception.kind,
            "exception.message" = exception.message,
            "exception.stacktrace" = exception.stacktrace;
            "{error}"
        );
    }
    format!("Hello from {}!", process::id())
}

async fn healthz() -> &'static str {
    "ok"
}

#[derive(Debug, thiserror::Error)]
#[error("the internal work was not done")]
struct WorkError {
    source: RandomError,
}

#[derive(Debug, thiserror::Error)]
#[error("a random error occurred")]
struct RandomError;

/// Stands for work that sometimes fails.
fn internal_work(error_rate: f64) -> Result<(), WorkError> {
    match fastrand::f64() < error_rate {
        true => Err(WorkError {
            source: RandomError,
        }),
        false => Ok(()),
    }
}
