//! `/metrics`: what the registry has, in the text format of Prometheus.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    web::{self, ServiceConfig},
};
use prometheus::{Registry, TextEncoder};

use crate::check::Names;

/// The version of the text format is part of its media type.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Shows the metrics of a registry. Clones show the same.
#[derive(Clone)]
pub(crate) struct Exposition {
    registry: Registry,
    /// Families that could not be shown. The lock also lets one scrape after the
    /// other read the process metrics: two at once would add the same CPU time.
    left_out: Arc<Mutex<HashSet<String>>>,
}

impl Exposition {
    pub(crate) fn of(registry: Registry) -> Self {
        Self {
            registry,
            left_out: Arc::default(),
        }
    }

    /// Adds `GET /metrics` to an application.
    pub(crate) fn configure(&self, app: &mut ServiceConfig) {
        app.service(
            web::resource("/metrics")
                .app_data(web::Data::new(self.clone()))
                .route(web::get().to(scrape)),
        );
    }

    /// The metrics as they are now.
    ///
    /// A family that cannot be shown, as after an attribute that nobody expected, is
    /// left out and logged once: the scraper would refuse all of it.
    fn text(&self) -> prometheus::Result<String> {
        // A set of names is whole whatever panicked.
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families = self.registry.gather();
        let names = Names::of(&families);
        families.retain(|family| {
            let fault = names.fault(family);
            if let Some(fault) = &fault
                && left_out.insert(family.name().to_owned())
            {
                log::error!("{} is left out of /metrics: {fault}", family.name());
            }
            fault.is_none()
        });
        TextEncoder::new().encode_to_string(&families)
    }
}

async fn scrape(exposition: web::Data<Exposition>) -> actix_web::Result<HttpResponse> {
    let text = exposition.text().map_err(|error| {
        log::error!("/metrics cannot be written: {error}");
        ErrorInternalServerError("the metrics cannot be written; the log says why\n")
    })?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}

#[cfg(test)]
mod tests {
    use opentelemetry::{KeyValue, metrics::MeterProvider as _};
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;

    #[test]
    fn a_family_that_cannot_be_shown_costs_no_other() {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let provider = SdkMeterProvider::builder()
            .with_reader(exporter.build().unwrap())
            .build();
        let meter = provider.meter("test");
        let (good, bad) = (meter.u64_counter("good"), meter.u64_counter("bad"));
        let (good, bad) = (good.build(), bad.build());
        good.add(3, &[]);
        bad.add(1, &[KeyValue::new("a", "1")]);
        let exposition = Exposition::of(registry);
        assert!(exposition.text().unwrap().contains("bad_total"));

        bad.add(1, &[KeyValue::new("a:b", "1")]);
        for _ in 0..2 {
            let text = exposition.text().unwrap();
            assert!(text.contains("good_total"), "{text}");
            assert!(!text.contains("bad_total"), "{text}");
        }
    }
}
