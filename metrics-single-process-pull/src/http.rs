//! The HTTP metrics: actix-web-prom under the names of the HTTP semantic
//! conventions, with what it lacks around it.
//!
//! It is wrapped around each resource, not around the application, so that a
//! request which matches no route never comes to it.

use std::{collections::HashMap, time::Duration};

use actix_web::{
    Error, Resource,
    body::MessageBody,
    dev::{HttpServiceFactory, Service as _, ServiceFactory, ServiceRequest, ServiceResponse},
    http::{self, StatusCode},
    middleware::{Next, from_fn},
};
use actix_web_prom::{
    ActixMetricsConfiguration, LabelsConfiguration, PrometheusMetrics, PrometheusMetricsBuilder,
};
use anyhow::anyhow;
use common::{
    CatchPanic,
    measure::{Measure, Method, Observer},
};
use prometheus::{IntGaugeVec, Opts, Registry};

/// The bounds that the HTTP semantic conventions advise, in seconds.
const DURATION_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The service speaks plain HTTP. What a proxy before it speaks is not asked:
/// the header that says so comes from the client.
const SCHEME: (&str, &str) = ("url_scheme", "http");

const METHOD: &str = "http_request_method";

/// The metrics of the requests that were routed.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    finished: PrometheusMetrics,
    active: IntGaugeVec,
}

impl HttpMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// If the registry has one of the names already.
    pub(crate) fn register(registry: &Registry) -> anyhow::Result<Self> {
        let labels = LabelsConfiguration::default()
            .method(METHOD)
            .endpoint("http_route")
            .status("http_response_status_code");
        let names = ActixMetricsConfiguration::default()
            .labels(labels)
            .http_requests_total_name("http_requests_total")
            .http_requests_duration_seconds_name("http_server_request_duration_seconds");
        let scheme = HashMap::from([(SCHEME.0.to_owned(), SCHEME.1.to_owned())]);
        let finished = PrometheusMetricsBuilder::new("")
            .registry(registry.clone())
            .metrics_configuration(names)
            .const_labels(scheme)
            .buckets(&DURATION_BOUNDS)
            .build()
            .map_err(|error| anyhow!(error).context("cannot register the HTTP metrics"))?;

        let active = Opts::new(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
        );
        let active = IntGaugeVec::new(active.const_label(SCHEME.0, SCHEME.1), &[METHOD])?;
        registry.register(Box::new(active.clone()))?;
        Ok(Self { finished, active })
    }

    /// Measures the requests of a resource.
    ///
    /// Middlewares that the resource has already are measured with it, and what
    /// they reject is counted. They must not ask for a mutable request head, which
    /// actix-web grants only to the one who holds the request alone.
    pub(crate) fn observe<S, B>(&self, resource: Resource<S>) -> impl HttpServiceFactory + use<S, B>
    where
        S: ServiceFactory<
                ServiceRequest,
                Config = (),
                Response = ServiceResponse<B>,
                Error = Error,
                InitError = (),
            > + 'static,
        B: MessageBody + 'static,
    {
        // From the inside out.
        resource
            .wrap(CatchPanic)
            .wrap(from_fn(answer_errors))
            .wrap(self.finished.clone())
            .wrap_fn(|mut request, service| {
                fold_method(&mut request);
                service.call(request)
            })
            .wrap(Measure::new(ActiveRequests(self.active.clone())))
    }
}

/// Makes an answer of an error: actix-web-prom counts answers alone.
async fn answer_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let head = request.request().clone();
    Ok(match next.call(request).await {
        Ok(response) => response.map_into_left_body(),
        Err(error) => ServiceResponse::from_err(error, head).map_into_right_body(),
    })
}

/// Gives a request with a method that a client made up the method `_OTHER`, of
/// which actix-web-prom makes the label. Handlers and access logs see it as well; a
/// service that routes further methods lets them pass here.
fn fold_method(request: &mut ServiceRequest) {
    if Method::from(request.method()) == Method::Other
        && let Ok(other) = http::Method::from_bytes(Method::Other.as_str().as_bytes())
    {
        request.head_mut().method = other;
    }
}

/// Counts the requests that are being answered, which actix-web-prom does not.
struct ActiveRequests(IntGaugeVec);

impl Observer for ActiveRequests {
    fn began(&self, method: Method) {
        self.0.with_label_values(&[method.as_str()]).inc();
    }

    fn ended(&self, method: Method, _: Option<StatusCode>, _: Duration) {
        self.0.with_label_values(&[method.as_str()]).dec();
    }
}

#[cfg(test)]
mod tests;
