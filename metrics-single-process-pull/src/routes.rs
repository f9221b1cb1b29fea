//! What the service does.

use std::process;

use actix_web::web::{self, ServiceConfig};

use crate::{exposition::Exposition, http::HttpMetrics, metrics::Metrics};

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) metrics: Metrics,
    pub(crate) http: HttpMetrics,
    /// Served here, unless it has a port of its own.
    pub(crate) exposition: Option<Exposition>,
    pub(crate) error_rate: f64,
}

impl Service {
    /// Adds the routes to an application.
    pub(crate) fn configure(&self, app: &mut ServiceConfig) {
        let index = web::resource("/").route(web::get().to(index));
        app.app_data(web::Data::new(self.clone()))
            .service(self.http.observe(index))
            // These are in no metric: they are asked all the time, and say nothing
            // of the service's use.
            .route("/healthz", web::get().to(healthz));
        if let Some(exposition) = &self.exposition {
            exposition.configure(app);
        }
    }
}

async fn index(service: web::Data<Service>) -> String {
    service.metrics.requests.add(1, &[]);
    if let Err(error) = internal_work(service.error_rate) {
        // The client is not told.
        service.metrics.errors.add(1, &[]);
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
        _ => Err("a number from 0 to 1 is allowed".to_owned()),
    }
}
