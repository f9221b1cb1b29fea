//! What the middleware does with each request, and what a serving thread needs for it.

use std::{cell::RefCell, sync::Arc};

use actix_web::dev::ServiceRequest;
use opentelemetry::global::BoxedTracer;

use super::{
    errors::Recognize,
    finished::{Finished, HttpMetrics},
    method::Method,
    scheme::Scheme,
};

/// What a serving thread needs.
pub(super) struct Thread {
    pub(super) parts: Parts,
    pub(super) tracer: Option<BoxedTracer>,
    /// Routes without parameters that were requested: there the path is the pattern, and
    /// need not be matched again.
    static_routes: RefCell<Vec<Arc<str>>>,
}

impl Thread {
    pub(super) fn new(parts: Parts, tracer: Option<BoxedTracer>) -> Self {
        Self {
            parts,
            tracer,
            static_routes: RefCell::default(),
        }
    }

    /// The pattern of the route that a request matches.
    pub(super) fn route(&self, request: &ServiceRequest) -> Option<Arc<str>> {
        let path = request.path();
        let mut known = self.static_routes.borrow_mut();
        if let Some(route) = known.iter().find(|route| ***route == *path) {
            return Some(route.clone());
        }
        let route: Arc<str> = request.match_pattern()?.into();
        // There are as many as the application has patterns, whatever clients request.
        if *route == *path {
            known.push(route.clone());
        }
        Some(route)
    }
}

#[derive(Clone, Default)]
pub(super) struct Parts {
    pub(super) metrics: Vec<Box<dyn ThreadMetrics>>,
    pub(super) spans: bool,
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
