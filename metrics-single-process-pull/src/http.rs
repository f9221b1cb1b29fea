//! The HTTP metrics: actix-web-prom under the names of the HTTP semantic
//! conventions, with what it lacks around it.

use std::collections::HashMap;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http,
    middleware::Next,
};
use actix_web_prom::{
    ActixMetricsConfiguration, LabelsConfiguration, PrometheusMetrics, PrometheusMetricsBuilder,
};
use anyhow::anyhow;
use common::telemetry::{self, DURATION_BOUNDS, Finished, Method, Scheme};
use prometheus::{IntGaugeVec, Opts, Registry};

/// The service speaks plain HTTP. The header that says what a proxy speaks comes from
/// the client.
const SCHEME: (&str, &str) = ("url_scheme", "http");

const METHOD: &str = "http_request_method";

/// The metrics of requests.
#[derive(Clone)]
pub(crate) struct HttpMetrics {
    /// Counts and times requests that are over.
    pub(crate) finished: PrometheusMetrics,
    /// Counts those in progress, which actix-web-prom does not.
    pub(crate) active: ActiveRequests,
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
            // Probes and scrapes say nothing of the service's use.
            .exclude("/healthz")
            .exclude("/metrics")
            // Without a route, or each path that a client makes up would be a series.
            .mask_unmatched_patterns("")
            .build()
            .map_err(|error| anyhow!(error).context("cannot register the HTTP metrics"))?;

        let active = Opts::new(
            "http_server_active_requests",
            "Number of active HTTP server requests.",
        );
        let active = IntGaugeVec::new(active.const_label(SCHEME.0, SCHEME.1), &[METHOD])?;
        registry.register(Box::new(active.clone()))?;
        let active = ActiveRequests(active);
        Ok(Self { finished, active })
    }
}

/// Gives a method that a client made up the name `_OTHER`, since actix-web-prom makes a
/// label of it. A service that routes further methods lets them pass here.
pub(crate) async fn fold_method(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if Method::from(request.method()) == Method::Other
        && let Ok(other) = http::Method::from_bytes(Method::Other.as_str().as_bytes())
    {
        request.head_mut().method = other;
    }
    next.call(request).await
}

/// Makes a response of an error, for a resource: actix-web-prom counts responses alone,
/// and a panic becomes an error.
pub(crate) async fn answer_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let head = request.request().clone();
    Ok(match next.call(request).await {
        Ok(response) => response.map_into_left_body(),
        Err(error) => ServiceResponse::from_err(error, head).map_into_right_body(),
    })
}

/// Counts the requests in progress.
#[derive(Clone)]
pub(crate) struct ActiveRequests(IntGaugeVec);

impl telemetry::HttpMetrics for ActiveRequests {
    fn began(&self, method: Method, _scheme: Scheme) {
        self.0.with_label_values(&[method.as_str()]).inc();
    }

    fn ended(&self, request: &Finished<'_>) {
        self.0.with_label_values(&[request.method.as_str()]).dec();
    }
}

#[cfg(test)]
mod tests;
