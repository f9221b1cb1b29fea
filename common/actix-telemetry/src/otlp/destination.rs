//! A collector, and how it is spoken to.

use std::{collections::HashMap, fmt, net::IpAddr, time::Duration};

use http::{Uri, uri::PathAndQuery};

use super::signal::{Signal, accepted, headers, setting};
#[cfg(feature = "tls")]
use super::tls::Tls;
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
    #[cfg(feature = "tls")]
    pub(super) tls: Tls,
    /// The variable that named the endpoint, if one did.
    variable: Option<String>,
}

/// The protocols that are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    Grpc,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
}

impl Destination {
    /// Reads the variables of the OTLP exporter.
    pub(crate) fn read(env: Env<'_>, signal: Signal) -> Self {
        let protocol = Protocol::read(env, signal);
        let headers = |variable: &Variable| Ok(headers(variable));
        let mut headers = setting(env, signal, "HEADERS", "", headers).unwrap_or_default();
        let default = protocol.default_endpoint();
        let insecure = insecure(env, signal);
        let named = setting(env, signal, "ENDPOINT", default, |variable| {
            let endpoint = endpoint(variable, protocol, insecure)?;
            Ok((endpoint, variable.name.clone()))
        });
        let (endpoint, variable) = match named {
            Some(((endpoint, userinfo), variable)) => {
                let basic = userinfo.map(|userinfo| basic(&userinfo));
                headers.extend(basic.map(|basic| ("authorization".to_owned(), basic)));
                (endpoint, Some(variable))
            }
            None => (Uri::from_static(default), None),
        };
        // The variable of one signal is used as it stands.
        let is_general = variable
            .as_ref()
            .is_none_or(|variable| variable == "OTEL_EXPORTER_OTLP_ENDPOINT");
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
            #[cfg(feature = "tls")]
            tls: Tls::read(env, signal),
            variable,
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
        let protocol = self.protocol.name();
        write!(out, "{scheme}://{authority}{path} ({protocol})")
    }
}

impl Protocol {
    fn read(env: Env<'_>, signal: Signal) -> Self {
        let default = Self::HttpProtobuf;
        let protocol = setting(env, signal, "PROTOCOL", default.name(), |variable| {
            let all = [Self::HttpProtobuf, Self::Grpc];
            let named = all.into_iter().find(|known| variable.is(known.name()));
            named.ok_or_else(|| "expected http/protobuf or grpc".to_owned())
        });
        protocol.unwrap_or(default)
    }

    fn name(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http/protobuf",
            Self::Grpc => "grpc",
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
        _ if !has_scheme => {
            let shown = variable.shown();
            return Err(format!("expected a scheme, as in http://{shown}"));
        }
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
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    if uri.port().is_none() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected a port from 0 to 65535".to_owned());
    }
    match (protocol, uri.port_u16()) {
        (Protocol::HttpProtobuf, Some(4317)) => warn(
            &variable.name,
            &variable.shown(),
            "but 4317 is usually the port of gRPC (OTEL_EXPORTER_OTLP_PROTOCOL=grpc)",
            "HTTP on that port",
        ),
        (Protocol::Grpc, Some(4318)) => warn(
            &variable.name,
            &variable.shown(),
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

fn insecure(env: Env<'_>, signal: Signal) -> bool {
    let flag = |variable: &Variable| match (variable.is("true"), variable.is("false")) {
        (false, false) => Err("expected true or false".to_owned()),
        (is_true, _) => Ok(is_true),
    };
    setting(env, signal, "INSECURE", "false", flag).unwrap_or_default()
}

/// What one export may take: the limit of the exporter and, if it is set, that of the
/// processor or reader in front of it.
fn timeout(env: Env<'_>, signal: Signal) -> Duration {
    let milliseconds = |variable: &Variable| match variable.value.parse() {
        Ok(0) => Ok(FOREVER),
        Ok(milliseconds) => Ok(Duration::from_millis(milliseconds).min(FOREVER)),
        Err(_) => Err("expected milliseconds, or 0 for no limit".to_owned()),
    };
    let of_exporter = setting(env, signal, "TIMEOUT", "10000", milliseconds);
    let of_exporter = of_exporter.unwrap_or(Duration::from_secs(10));
    let of_processor = env.variable(signal.export_timeout());
    let of_processor = of_processor
        .and_then(|variable| accepted(&variable, "the timeout of the exporter", milliseconds));
    of_exporter.min(of_processor.unwrap_or(FOREVER))
}

fn compression(env: Env<'_>, signal: Signal) -> Option<Compression> {
    let compression = |variable: &Variable| match (variable.is("gzip"), variable.is("none")) {
        (true, _) => Ok(Some(Compression::Gzip)),
        (_, true) => Ok(None),
        _ => Err("expected gzip or none".to_owned()),
    };
    setting(env, signal, "COMPRESSION", "none", compression).flatten()
}
