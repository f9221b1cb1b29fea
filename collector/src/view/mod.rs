//! The live view: one page, its events, and the same as JSON.
//!
//! It is read-only. The page has no script but its own, and a request that was not meant for this
//! address is refused, so that no other page can read it (DNS rebinding).

mod api;
mod chart;
mod events;
mod format;
mod logs;
mod metrics;
mod page;
mod service;
mod traces;
mod workers;

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
        ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

use self::events::Events;
use crate::{intake::Intake, query::Query};

pub(crate) type Body = Either<Full<Bytes>, Events>;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Scripts and styles come from here alone, and none are inline: text that was received never runs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Whether a request is for the view and not for the receiver.
pub(crate) fn is_for<B>(request: &Request<B>) -> bool {
    let method = request.method();
    (method == Method::GET || method == Method::HEAD) && !request.uri().path().starts_with("/v1/")
}

/// Answers a request for the page, its parts or the interface for programs.
pub(crate) fn answer<B>(request: &Request<B>, intake: &Arc<Intake>) -> Response<Body> {
    let (uri, headers) = (request.uri(), request.headers());
    if !is_meant_for_us(uri, headers) {
        let reason = "open the view by its address or as localhost";
        return response(StatusCode::FORBIDDEN, TEXT, reason);
    }
    let query = Query::parse(uri.query().unwrap_or_default());
    match uri.path() {
        "/" => response(StatusCode::OK, HTML, page::page(intake, &query)),
        "/events" => match events::start(intake, &query) {
            Some(events) => with_body("text/event-stream", StatusCode::OK, Either::Right(events)),
            None => response(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "too many pages are open",
            ),
        },
        "/view.css" => response(StatusCode::OK, "text/css", include_str!("view.css")),
        "/view.js" => response(StatusCode::OK, "text/javascript", include_str!("view.js")),
        path => match api::get(intake, path, &query) {
            Some(json) => response(StatusCode::OK, JSON, json),
            None => response(
                StatusCode::NOT_FOUND,
                TEXT,
                "no such page; / has the live view",
            ),
        },
    }
}

/// Whether the host is an address or `localhost`. A page elsewhere can make its own name resolve to
/// this machine, but it cannot send an address as its host.
fn is_meant_for_us(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str()));
    let Some(host) = host else { return false };
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    let is_own = origin.is_none_or(|origin| origin == format!("http://{host}").as_bytes());
    let Ok(parsed) = host.parse::<Uri>() else {
        return false;
    };
    let name = parsed.host().unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_local =
        address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost");
    is_own && is_local
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    with_body(content_type, status, Either::Left(Full::new(body.into())))
}

fn with_body(content_type: &'static str, status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let own = HeaderName::from_static("cross-origin-resource-policy");
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (own, "same-origin"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
