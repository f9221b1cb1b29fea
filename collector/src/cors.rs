//! Lets pages that a developer serves on this machine send telemetry from a browser
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>). Pages of other origins cannot.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Response, StatusCode, Uri,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
        HeaderValue, ORIGIN, VARY,
    },
};

/// The answer to a preflight request of an allowed origin.
pub(crate) fn preflight(method: &Method, request: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    if method != Method::OPTIONS || !request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    allowed(request)?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow(request, headers);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    // An hour, instead of a preflight before each export.
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}

/// Lets an allowed origin read a response.
pub(crate) fn allow(request: &HeaderMap, response: &mut HeaderMap) {
    if let Some(origin) = allowed(request) {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(VARY, HeaderValue::from_static("origin"));
    }
}

/// The origin of the request, if it is on loopback.
fn allowed(request: &HeaderMap) -> Option<&HeaderValue> {
    let origin = request.get(ORIGIN)?;
    let uri: Uri = origin.to_str().ok()?.parse().ok()?;
    let host = uri.host()?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let is_loopback = host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address: IpAddr| address.is_loopback());
    is_loopback.then_some(origin)
}
