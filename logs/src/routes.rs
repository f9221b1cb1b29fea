//! What the service does.

use std::process;

use actix_web::{
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use common::CatchPanic;
use opentelemetry_semantic_conventions::attribute::{
    EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE,
};

use crate::{
    access::log_access,
    demo,
    exception::{self, Causes},
};

struct State {
    error_rate: f64,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, error_rate: f64, demo: bool) {
    let logged = web::scope("")
        .wrap(CatchPanic)
        .wrap(from_fn(log_access))
        .route("/", web::get().to(index))
        .configure(|scope| {
            if demo {
                demo::configure(scope);
            }
        });
    app.app_data(web::Data::new(State { error_rate }))
        // Without an access line: it is asked all the time, and says nothing of the
        // service's use.
        .route("/healthz", web::get().to(healthz))
        .service(logged);
}

async fn index(state: web::Data<State>) -> String {
    log::info!("Request received");
    if let Err(error) = internal_work(state.error_rate) {
        // The client is not told.
        log::error!(
            (EXCEPTION_TYPE) = exception::type_name(&error),
            (EXCEPTION_MESSAGE):% = error,
            (EXCEPTION_STACKTRACE):% = Causes(&error);
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
    if fastrand::f64() < error_rate {
        return Err(WorkError {
            source: RandomError,
        });
    }
    Ok(())
}

/// Parses a chance from 0 to 1.
pub(crate) fn parse_error_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0 to 1 is allowed".to_owned()),
    }
}
