//! What the middleware does with each request, and what a serving thread needs for it.

use opentelemetry_sdk::trace::Sampler;

use super::{
    errors::Recognize,
    finished::{Finished, HttpMetrics},
    method::Method,
    open::Open,
    peer::Peers,
    route::Routes,
    scheme::Scheme,
    span::Spans,
};

/// What a serving thread needs.
pub(super) struct Thread {
    pub(super) parts: Parts,
    pub(super) spans: Option<Spans>,
    pub(super) routes: Routes,
    pub(super) peers: Peers,
    pub(super) open: Open,
}

#[derive(Clone, Default)]
pub(super) struct Parts {
    pub(super) metrics: Vec<Box<dyn ThreadMetrics>>,
    pub(super) spans: bool,
    pub(super) sampler: Option<Sampler>,
    pub(super) logs: bool,
    pub(super) traceresponse: bool,
    pub(super) skip: Vec<String>,
    pub(super) errors: Vec<Recognize>,
}

/// [`HttpMetrics`] without its type.
pub(super) trait ThreadMetrics: Send {
    fn boxed(&self) -> Box<dyn ThreadMetrics>;
    fn began(&self, method: Method, scheme: Scheme);
    fn ended(&self, request: &Finished<'_>);
}

impl<M: HttpMetrics> ThreadMetrics for M {
    fn boxed(&self) -> Box<dyn ThreadMetrics> {
        Box::new(self.clone())
    }

    fn began(&self, method: Method, scheme: Scheme) {
        HttpMetrics::began(self, method, scheme);
    }

    fn ended(&self, request: &Finished<'_>) {
        HttpMetrics::ended(self, request);
    }
}

impl Clone for Box<dyn ThreadMetrics> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
