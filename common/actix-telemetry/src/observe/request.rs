//! What a request says about itself, carried to every record that is logged for it.

use std::sync::Arc;

use actix_web::{dev::ServiceRequest, http::Version};

use super::method::Method;

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
    pub(crate) path: Arc<str>,
    /// The pattern of the route, if one matches the path.
    #[cfg_attr(not(feature = "logs"), expect(dead_code))]
    pub(crate) route: Option<Arc<str>>,
}

impl RequestAttributes {
    pub(super) fn of(request: &ServiceRequest, method: Method, route: Option<Arc<str>>) -> Self {
        Self {
            method: method.as_str(),
            path: bounded(request.path()).into(),
            route,
        }
    }

    /// Under the names of the semantic conventions.
    #[cfg(feature = "logs")]
    pub(crate) fn named(
        &self,
    ) -> impl Iterator<Item = (opentelemetry::Key, opentelemetry::logs::AnyValue)> + use<> {
        use opentelemetry::{Key, StringValue, logs::AnyValue};
        use opentelemetry_semantic_conventions::attribute::{
            HTTP_REQUEST_METHOD, HTTP_ROUTE, URL_PATH,
        };

        let text = |name, value: StringValue| (Key::from_static_str(name), AnyValue::from(value));
        let method = text(HTTP_REQUEST_METHOD, self.method.into());
        let path = text(URL_PATH, self.path.clone().into());
        let route = self.route.clone();
        let route = route.map(|route| text(HTTP_ROUTE, route.into()));
        [method, path].into_iter().chain(route)
    }
}

/// A text from the client, cut to what telemetry repeats.
pub(crate) fn bounded(text: &str) -> String {
    match text.char_indices().nth(LENGTH_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
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
        let cut = bounded(&"ö".repeat(1_000));
        assert_eq!(cut, format!("{}…", "ö".repeat(LENGTH_LIMIT)));
    }
}
