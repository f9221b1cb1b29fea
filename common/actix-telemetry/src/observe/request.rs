//! What a request says about itself, carried to every record that is logged for it.

use std::{borrow::Cow, sync::Arc};

use actix_web::{dev::ServiceRequest, http::Version};
use opentelemetry::StringValue;

use super::{method::Method, route::Route};

/// The longest text from a client that telemetry repeats, in characters.
const LENGTH_LIMIT: usize = 256;

/// The attributes of a request that each of its log records gets.
///
/// They travel in the OpenTelemetry [`Context`](opentelemetry::Context), as the span
/// does: whatever takes the context along (`.await`, `attach`,
/// `with_current_context`) takes both.
#[derive(Clone, Debug)]
pub(crate) struct RequestAttributes {
    pub(crate) method: &'static str,
    pub(crate) path: StringValue,
    /// The pattern of the route, if one matches the path.
    #[cfg_attr(not(feature = "logs"), expect(dead_code))]
    pub(crate) route: Option<&'static str>,
}

impl RequestAttributes {
    pub(super) fn new(method: Method, path: StringValue, route: Option<&Route>) -> Self {
        Self {
            method: method.as_str(),
            path,
            route: route.map(|route| route.pattern),
        }
    }

    /// Under the names of the semantic conventions.
    #[cfg(feature = "logs")]
    pub(crate) fn named(
        &self,
    ) -> impl Iterator<Item = (opentelemetry::Key, opentelemetry::logs::AnyValue)> + use<> {
        use opentelemetry::{Key, logs::AnyValue};
        use opentelemetry_semantic_conventions::attribute::{
            HTTP_REQUEST_METHOD, HTTP_ROUTE, URL_PATH,
        };

        let text = |name, value: StringValue| (Key::from_static_str(name), AnyValue::from(value));
        let method = text(HTTP_REQUEST_METHOD, self.method.into());
        let path = text(URL_PATH, self.path.clone());
        let route = self.route.map(|route| text(HTTP_ROUTE, route.into()));
        [method, path].into_iter().chain(route)
    }
}

/// The path of a request. That of a route without parameters need not be copied.
pub(super) fn path(request: &ServiceRequest, route: Option<&Route>) -> StringValue {
    let path = request.path();
    match route {
        Some(route) if route.pattern == path => route.pattern.into(),
        _ => Arc::<str>::from(&*bounded(path)).into(),
    }
}

/// A text from the client, cut to what telemetry repeats.
pub(super) fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LENGTH_LIMIT {
        return text.into();
    }
    match text.char_indices().nth(LENGTH_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// The attribute `network.protocol.version`.
pub(super) fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let long = "ö".repeat(1_000);
        assert_eq!(bounded(&long), format!("{}…", "ö".repeat(LENGTH_LIMIT)));
    }
}
