//! What the service does.

use std::process;

use actix_web::{
    http::Uri,
    web::{self, ServiceConfig},
};
use awc::Client;
use common::CatchPanic;
use opentelemetry::{
    KeyValue,
    global::BoxedTracer,
    trace::{Status, TraceContextExt as _, Tracer as _, get_active_span},
};
use opentelemetry_semantic_conventions::attribute::EXCEPTION_TYPE;

use crate::{chain, client_span, demo, exception, server_span::ServerSpans, telemetry};

/// What the options say.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) error_rate: f64,
    /// What `GET /chain` calls.
    pub(crate) chain_url: Uri,
    pub(crate) traceresponse: bool,
    pub(crate) demo: bool,
}

/// What handlers need; each serving thread has its own.
pub(crate) struct State {
    pub(crate) service: Service,
    pub(crate) tracer: BoxedTracer,
    pub(crate) client: Client,
}

/// Adds the routes to an application.
pub(crate) fn configure(app: &mut ServiceConfig, service: &Service) {
    let traced = web::scope("")
        .wrap(CatchPanic)
        .wrap(ServerSpans {
            traceresponse: service.traceresponse,
        })
        .route("/", web::get().to(index))
        .route("/chain", web::get().to(chain::chain))
        .configure(|scope| {
            if service.demo {
                demo::configure(scope);
            }
        });
    let state = State {
        service: service.clone(),
        tracer: telemetry::tracer(),
        client: client_span::client(),
    };
    app.app_data(web::Data::new(state))
        // In no trace: it is asked all the time, and says nothing of the service's
        // use.
        .route("/healthz", web::get().to(healthz))
        .service(traced);
}

async fn index(state: web::Data<State>) -> String {
    log::info!("Request received");
    if let Err(error) = internal_work(&state) {
        // The client is not told and gets what it asked for, so the span of the
        // request is no error. It has an event, to be found by.
        let event = "internal error, not shown to the client";
        let kind = KeyValue::new(EXCEPTION_TYPE, exception::type_name(&error));
        get_active_span(|span| span.add_event(event, vec![kind]));
        log::error!("{error}");
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

/// Stands for work that sometimes fails, in a span of its own.
fn internal_work(state: &State) -> Result<(), WorkError> {
    state.tracer.in_span("internal work", |context| {
        if fastrand::f64() < state.service.error_rate {
            let error = WorkError {
                source: RandomError,
            };
            let span = context.span();
            span.add_event("exception", exception::attributes(&error));
            span.set_status(Status::error(error.to_string()));
            return Err(error);
        }
        Ok(())
    })
}

/// Parses a chance from 0 to 1.
pub(crate) fn parse_error_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a number from 0 to 1 is allowed".to_owned()),
    }
}
