//! The method of a request, as telemetry may show it.

use std::sync::LazyLock;

use actix_web::http;

use crate::env::Env;

/// The value of the attribute `http.request.method`.
///
/// Methods of RFC 9110, RFC 5789 (PATCH) and RFC 10008 (QUERY) have a variant. Any
/// other is [`Method::Other`], as the [HTTP semantic conventions] demand: a client
/// can make up names without end. `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` makes the
/// list shorter.
///
/// [HTTP semantic conventions]: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
///
/// ```
/// use actix_telemetry::Method;
///
/// assert_eq!(Method::ALL[Method::Get as usize].as_str(), "GET");
/// assert_eq!(Method::Other.as_str(), "_OTHER");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each name is the method")]
pub enum Method {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Patch,
    Post,
    Put,
    Query,
    Trace,
    Other,
}

impl Method {
    /// All methods, in the order of their discriminants from 0.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Delete,
        Self::Get,
        Self::Head,
        Self::Options,
        Self::Patch,
        Self::Post,
        Self::Put,
        Self::Query,
        Self::Trace,
        Self::Other,
    ];

    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Delete => "DELETE",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Query => "QUERY",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        Self::from_name(method.as_str())
    }
}

impl Method {
    /// The name of a span without a route, and the beginning of one with a route.
    pub(super) fn span_name(self) -> &'static str {
        match self {
            Self::Other => "HTTP",
            known => known.as_str(),
        }
    }

    /// Names are case-sensitive.
    pub(crate) fn from_name(name: &str) -> Self {
        static KNOWN: LazyLock<Vec<Method>> = LazyLock::new(|| known(Env::process()));
        let found = KNOWN.iter().find(|method| method.as_str() == name);
        found.copied().unwrap_or(Self::Other)
    }
}

/// The methods that `OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS` lists, else all. The most
/// frequent ones go first.
pub(crate) fn known(env: Env<'_>) -> Vec<Method> {
    let mut all = Method::ALL.to_vec();
    all.sort_by_key(|method| ![Method::Get, Method::Post].contains(method));
    let Some(variable) = env.variable("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS") else {
        return all;
    };
    let names = || variable.value.split(',').map(str::trim);
    let is_known = |name: &str| all.iter().any(|method| method.as_str() == name);
    if !names().all(|name| name.is_empty() || is_known(name)) {
        let expected = "expected a list of methods of RFC 9110, PATCH and QUERY";
        variable.reject(expected, "the others of the list");
    }
    all.retain(|method| names().any(|name| name == method.as_str()));
    all
}
