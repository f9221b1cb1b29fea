//! What a request says about itself, carried to every record that is logged for it.
//!
//! It travels in the OpenTelemetry [`Context`], as trace and span do: whatever
//! takes the context along (an `.await`, `attach`, `with_current_context`) takes
//! both along.

use std::sync::Arc;

use actix_web::{dev::ServiceRequest, http::header::HeaderMap};
use common::measure::Method;
use opentelemetry::{
    Context, Key, StringValue,
    logs::AnyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_semantic_conventions::attribute::{HTTP_REQUEST_METHOD, HTTP_ROUTE, URL_PATH};

use crate::limit::limited;

/// The longest part of a request that is repeated on its records, in characters.
const LENGTH_LIMIT: usize = 256;

/// The attributes of a request that each of its records gets.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    pub(crate) method: &'static str,
    /// The pattern of the route, if there is one for the path.
    pub(crate) route: Option<Arc<str>>,
    pub(crate) path: Arc<str>,
}

impl Attributes {
    /// Under the names of the semantic conventions.
    pub(crate) fn named(&self) -> impl Iterator<Item = (Key, AnyValue)> + use<> {
        let shared = |text: Arc<str>| AnyValue::String(StringValue::from(text));
        let method = AnyValue::String(StringValue::from(self.method));
        let method = (Key::from_static_str(HTTP_REQUEST_METHOD), method);
        let path = (Key::from_static_str(URL_PATH), shared(self.path.clone()));
        let route = self.route.clone();
        let route = route.map(|route| (Key::from_static_str(HTTP_ROUTE), shared(route)));
        [method, path].into_iter().chain(route)
    }

    fn of(request: &ServiceRequest) -> Self {
        Self {
            method: Method::from(request.method()).as_str(),
            route: request.match_pattern().map(Arc::from),
            path: bounded(request.path()).into(),
        }
    }
}

/// The context in which a request is handled: its attributes, and the trace and
/// span that the caller named in a `traceparent` header.
///
/// A span that is active already, because a tracing middleware is around this one,
/// stays so. A header that is malformed or doubled counts as none.
pub(crate) fn context(request: &ServiceRequest) -> Context {
    let attributes = Attributes::of(request);
    let current = Context::current();
    let context = if current.has_active_span() {
        current
    } else {
        let headers = Headers(request.headers());
        TraceContextPropagator::new().extract_with_context(&current, &headers)
    };
    context.with_value(attributes)
}

/// A text from the client, not longer than what is repeated on its records.
pub(crate) fn bounded(text: &str) -> String {
    limited(text, LENGTH_LIMIT).unwrap_or_else(|cut| cut)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.get_all(name);
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn trace_id(headers: &[(&str, &[u8])]) -> Option<String> {
        let mut request = TestRequest::get();
        for (name, value) in headers {
            let value = actix_web::http::header::HeaderValue::from_bytes(value).unwrap();
            request = request.append_header((*name, value));
        }
        let context = context(&request.to_srv_request());
        let span = context.span();
        let id = span.span_context().trace_id();
        context.has_active_span().then(|| id.to_string())
    }

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_traceparent_is_taken_over() {
        let header = format!("00-{TRACE}-b7ad6b7169203331-01");
        let found = trace_id(&[("traceparent", header.as_bytes())]);
        assert_eq!(found.as_deref(), Some(TRACE));
    }

    #[test]
    fn a_malformed_or_doubled_traceparent_counts_as_none() {
        let good = format!("00-{TRACE}-b7ad6b7169203331-01");
        for bad in [
            "",
            "-",
            "00",
            "00-0-0-0",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id(&[("traceparent", bad.as_bytes())]), None, "{bad}");
        }
        assert_eq!(trace_id(&[("traceparent", b"\xff\xfe")]), None);
        let twice = ("traceparent", good.as_bytes());
        assert_eq!(trace_id(&[twice, twice]), None);
    }
}
