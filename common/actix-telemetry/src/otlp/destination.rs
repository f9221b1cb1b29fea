//! A collector, and how it is spoken to.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use http::{Uri, uri::PathAndQuery};
use opentelemetry_otlp::Compression;

use super::signal::{Signal, headers, variable};
use crate::{
    env::{Env, Variable},
    warn::warn,
};

/// No limit, as `OTEL_EXPORTER_OTLP_TIMEOUT=0` means. Small enough to be added to
/// any point in time.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A collector, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) signal: Signal,
    pub(crate) protocol: Protocol,
    /// Complete: with the path of the signal, and without userinfo.
    pub(crate) endpoint: Uri,
    /// With the authorization that the endpoint's userinfo stands for. Secret.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) timeout: Duration,
    pub(crate) compression: Option<Compression>,
    /// The variable that named the endpoint, if one did.
    variable: Option<String>,
}

/// The protocols that are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    Grpc,
}

impl Destination {
    /// Reads the variables of the OTLP exporter.
    pub(crate) fn read(env: Env<'_>, signal: Signal) -> Self {
        let protocol = Protocol::read(env, signal);
        let mut headers = variable(env, signal, "HEADERS")
            .map_or_else(HashMap::new, |variable| headers(&variable));
        let named = variable(env, signal, "ENDPOINT");
        let endpoint = named.as_ref().and_then(|variable| {
            let endpoint = endpoint(variable, protocol, insecure(env, signal));
            endpoint
                .inspect_err(|expected| {
                    let shown = without_secrets(&variable.value);
                    let used = protocol.default_endpoint();
                    warn(&variable.name, &shown, expected, used);
                })
                .ok()
        });
        let (endpoint, userinfo) = match endpoint {
            Some(endpoint) => endpoint,
            None => (Uri::from_static(protocol.default_endpoint()), None),
        };
        if let Some(userinfo) = userinfo {
            headers.insert("authorization".to_owned(), basic(&userinfo));
        }
        // The variable of one signal is used as it stands.
        let is_general = named
            .as_ref()
            .is_none_or(|variable| variable.name == "OTEL_EXPORTER_OTLP_ENDPOINT");
        Self {
            signal,
            protocol,
            endpoint: match protocol {
                Protocol::HttpProtobuf if is_general => below(endpoint, signal.path()),
                _ => endpoint,
            },
            headers,
            timeout: timeout(env, signal),
            compression: compression(env, signal),
            variable: named.map(|variable| variable.name),
        }
    }

    /// Whether the collector runs on this machine, where no proxy is to be asked.
    pub(crate) fn is_on_loopback(&self) -> bool {
        let host = self.endpoint.host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// What to check if nothing arrives there.
    pub(crate) fn advice(&self) -> String {
        let variable = match &self.variable {
            Some(name) => format!("{name} ({self})"),
            None => format!("OTEL_EXPORTER_OTLP_ENDPOINT (unset, so {self})"),
        };
        let other = match self.protocol {
            Protocol::HttpProtobuf => "OTEL_EXPORTER_OTLP_PROTOCOL=grpc if it speaks gRPC",
            Protocol::Grpc => {
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf if it speaks HTTP, usually on port 4318"
            }
        };
        format!("is a collector listening? check {variable}, or set {other}")
    }
}

/// Without what may be a secret: userinfo, query, and the path of a URL that is not
/// the one of the specification.
impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.endpoint.scheme_str().unwrap_or("http");
        let authority = self.endpoint.authority();
        let authority = authority.map_or("", |authority| authority.as_str());
        let path = self.endpoint.path();
        let is_known = ["/", ""].contains(&path) || path == format!("/{}", self.signal.path());
        let path = if is_known { "" } else { "/…" };
        let protocol = match self.protocol {
            Protocol::HttpProtobuf => "http/protobuf",
            Protocol::Grpc => "grpc",
        };
        write!(out, "{scheme}://{authority}{path} ({protocol})")
    }
}

impl Protocol {
    fn read(env: Env<'_>, signal: Signal) -> Self {
        match variable(env, signal, "PROTOCOL") {
            Some(variable) if variable.is("grpc") => Self::Grpc,
            Some(variable) if !variable.is("http/protobuf") => {
                variable.reject("expected http/protobuf or grpc", "http/protobuf");
                Self::HttpProtobuf
            }
            _ => Self::HttpProtobuf,
        }
    }

    fn default_endpoint(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http://localhost:4318",
            Self::Grpc => "http://localhost:4317",
        }
    }
}

/// The endpoint without userinfo, and that; on an error what was expected.
fn endpoint(
    variable: &Variable,
    protocol: Protocol,
    insecure: bool,
) -> Result<(Uri, Option<String>), String> {
    let value = &variable.value;
    let has_scheme = value.contains("://");
    let text = match protocol {
        // The specification allows an endpoint without a scheme over gRPC alone.
        Protocol::Grpc if !has_scheme && insecure => format!("http://{value}"),
        Protocol::Grpc if !has_scheme && cfg!(feature = "tls") => format!("https://{value}"),
        _ if !has_scheme => return Err(format!("expected a scheme, as in http://{value}")),
        _ => value.clone(),
    };
    let uri: Uri = text
        .parse()
        .map_err(|_| "expected a URL like http://host:port".to_owned())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if cfg!(feature = "tls") => {}
        Some("https") => {
            return Err("expected http://, since this build has no TLS (feature `tls`)".to_owned());
        }
        _ => return Err("expected the scheme http or https".to_owned()),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("expected a host, as in http://host:port".to_owned());
    }
    match (protocol, uri.port_u16()) {
        (Protocol::HttpProtobuf, Some(4317)) => warn(
            &variable.name,
            &without_secrets(value),
            "but 4317 is usually the port of gRPC (OTEL_EXPORTER_OTLP_PROTOCOL=grpc)",
            "HTTP on that port",
        ),
        (Protocol::Grpc, Some(4318)) => warn(
            &variable.name,
            &without_secrets(value),
            "but 4318 is usually the port of HTTP (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)",
            "gRPC on that port",
        ),
        _ => {}
    }
    split_userinfo(uri).ok_or_else(|| "expected a URL like http://host:port".to_owned())
}

fn split_userinfo(uri: Uri) -> Option<(Uri, Option<String>)> {
    let authority = uri.authority()?.as_str();
    let Some((userinfo, rest)) = authority.rsplit_once('@') else {
        return Some((uri, None));
    };
    let (userinfo, rest) = (userinfo.to_owned(), rest.to_owned());
    let mut parts = uri.into_parts();
    parts.authority = Some(rest.parse().ok()?);
    Some((Uri::from_parts(parts).ok()?, Some(userinfo)))
}

/// Basic authorization, which is what userinfo in a URL stands for.
fn basic(userinfo: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    let decoded: Vec<u8> = percent_encoding::percent_decode_str(userinfo).collect();
    format!("Basic {}", BASE64_STANDARD.encode(decoded))
}

/// The path of a signal below that of a base URL, before its query.
fn below(base: Uri, path: &str) -> Uri {
    let mut parts = base.clone().into_parts();
    let mut joined = format!("{}/{path}", base.path().trim_end_matches('/'));
    if let Some(query) = base.query() {
        joined = format!("{joined}?{query}");
    }
    parts.path_and_query = PathAndQuery::try_from(joined).ok();
    Uri::from_parts(parts).unwrap_or(base)
}

/// A URL as it may be printed: scheme, host and port.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let cut = if host.len() == rest.len() { "" } else { "…" };
    match scheme {
        "" => format!("{host}{cut}"),
        scheme => format!("{scheme}://{host}{cut}"),
    }
}

fn insecure(env: Env<'_>, signal: Signal) -> bool {
    variable(env, signal, "INSECURE").is_some_and(|variable| variable.is("true"))
}

fn timeout(env: Env<'_>, signal: Signal) -> Duration {
    const DEFAULT: u64 = 10_000;
    let Some(variable) = variable(env, signal, "TIMEOUT") else {
        return Duration::from_millis(DEFAULT);
    };
    match variable.value.parse::<u64>() {
        Ok(0) => FOREVER,
        Ok(milliseconds) => Duration::from_millis(milliseconds).min(FOREVER),
        Err(_) => {
            let expected = "expected milliseconds, or 0 for no limit";
            variable.reject(expected, DEFAULT);
            Duration::from_millis(DEFAULT)
        }
    }
}

fn compression(env: Env<'_>, signal: Signal) -> Option<Compression> {
    let variable = variable(env, signal, "COMPRESSION")?;
    if variable.is("gzip") {
        return Some(Compression::Gzip);
    }
    if !variable.is("none") {
        variable.reject("expected gzip or none", "none");
    }
    None
}
