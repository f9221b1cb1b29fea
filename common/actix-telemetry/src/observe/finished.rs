//! What the middleware tells a metrics library of a request.

use std::time::Duration;

use actix_web::http::StatusCode;

use super::{method::Method, scheme::Scheme};

/// Turns the begin and the end of requests into numbers.
///
/// Each serving thread has its own clone, so a cache in a `RefCell` is enough.
pub trait HttpMetrics: Clone + Send + 'static {
    /// A request arrived.
    fn began(&self, method: Method, scheme: Scheme);

    /// The request that began is over. Called once for each [`Self::began`], also
    /// where the handler panics or the client goes away.
    fn ended(&self, request: &Finished<'_>);
}

/// A request that is over.
///
/// Every field has few values, whatever clients send.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Finished<'a> {
    /// The method.
    pub method: Method,
    /// Whether it came over TLS.
    pub scheme: Scheme,
    /// The pattern of the route, such as `/orders/{id}`; `None` if no route matched.
    pub route: Option<&'static str>,
    /// The status of the response; `None` if the request was cut before it.
    pub status: Option<StatusCode>,
    /// Why the request failed: the status code of a 5xx response, the type of the
    /// handler's error if the middleware knows it, `panic`, or `cancelled` if the
    /// client went away.
    pub error_type: Option<&'a str>,
    /// The version of HTTP, such as `1.1`.
    pub protocol_version: Option<&'static str>,
    /// Time since the request arrived. `None` for upgrades and event streams, whose
    /// life is no latency.
    pub duration: Option<Duration>,
}
