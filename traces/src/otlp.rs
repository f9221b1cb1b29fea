//! Where telemetry goes, as the variables of the OpenTelemetry specification say.
//!
//! The exporter reads its variables itself. What is done here is what it does not
//! do: it tells a mistake at the start instead of failing at every export, honours
//! `OTEL_SDK_DISABLED` and `OTEL_*_EXPORTER`, and gives the workers a straight way
//! to a collector on the same machine.

#[cfg(not(feature = "embedded-collector"))]
use std::convert::Infallible;
use std::{collections::BTreeMap, env, fmt};

use http::Uri;

/// A signal that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "this file is the same in every scenario, and each exports one signal"
)]
pub(crate) enum Signal {
    Metrics,
    Logs,
    Traces,
}

impl Signal {
    /// The signal's part of the names of variables.
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
            Self::Traces => "TRACES",
        }
    }
}

/// What becomes of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// It is pushed to a collector.
    Otlp(Destination),
    /// It is printed on stdout.
    Console,
    /// Nothing.
    None,
}

/// A collector, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) endpoint: String,
    pub(crate) protocol: Protocol,
    /// The variable that named the endpoint, if one did.
    variable: Option<String>,
}

/// The protocols that are compiled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    HttpProtobuf,
    Grpc,
}

impl Exporter {
    /// Reads and checks the variables.
    ///
    /// # Errors
    ///
    /// One line that names the variable, its value and what to do.
    pub(crate) fn from_env(signal: Signal) -> Result<Self, String> {
        Self::read(signal, &|name| env::var(name).ok())
    }

    fn read(signal: Signal, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        // The specification wants an empty variable to count as an unset one.
        let variable = |name: &str| {
            let value = lookup(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(Self::None);
        }
        let name = format!("OTEL_{}_EXPORTER", signal.name());
        match variable(&name).as_deref() {
            None | Some("otlp") => Destination::read(signal, &variable).map(Self::Otlp),
            Some("console") => Ok(Self::Console),
            Some("none") => Ok(Self::None),
            Some(other) => Err(format!(
                "{name} is {other:?}, and otlp, console or none is allowed"
            )),
        }
    }
}

impl Destination {
    fn read(signal: Signal, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        // The variable of the signal goes before the one for all signals.
        let otlp = |what: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name());
            let general = format!("OTEL_EXPORTER_OTLP_{what}");
            [own, general]
                .into_iter()
                .find_map(|name| Some((variable(&name)?, name)))
        };
        let protocol = match otlp("PROTOCOL") {
            None => Protocol::HttpProtobuf,
            Some((value, name)) => Protocol::parse(&value).ok_or_else(|| {
                format!("{name} is {value:?}, and http/protobuf or grpc is allowed")
            })?,
        };
        if let Some((value, name)) = otlp("COMPRESSION")
            && !["gzip", "none"].contains(&value.as_str())
        {
            return Err(format!("{name} is {value:?}, and gzip or none is allowed"));
        }
        let Some((endpoint, name)) = otlp("ENDPOINT") else {
            return Ok(Self {
                endpoint: protocol.default_endpoint().to_owned(),
                protocol,
                variable: None,
            });
        };
        check_endpoint(&endpoint, protocol)
            .map_err(|fix| format!("{name} is {endpoint:?}: {fix}"))?;
        Ok(Self {
            endpoint,
            protocol,
            variable: Some(name),
        })
    }

    fn is_on_loopback(&self) -> bool {
        let uri = self.endpoint.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        host == "localhost" || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    }

    /// What to look at when nothing arrives there.
    pub(crate) fn likely_mistake(&self) -> String {
        let variable = match &self.variable {
            Some(name) => format!("{name}, which is {self}"),
            None => format!("OTEL_EXPORTER_OTLP_ENDPOINT, which is not set and so means {self}"),
        };
        let other = match self.protocol {
            Protocol::HttpProtobuf => "OTEL_EXPORTER_OTLP_PROTOCOL=grpc if gRPC is spoken there",
            Protocol::Grpc => {
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf if HTTP is spoken there, usually on 4318"
            }
        };
        format!("is a collector listening? check {variable}, or set {other}")
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::HttpProtobuf => "http/protobuf",
            Protocol::Grpc => "grpc",
        };
        write!(out, "{} ({protocol})", self.endpoint)
    }
}

impl Protocol {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "http/protobuf" => Some(Self::HttpProtobuf),
            "grpc" => Some(Self::Grpc),
            _ => None,
        }
    }

    fn default_endpoint(self) -> &'static str {
        match self {
            Self::HttpProtobuf => "http://localhost:4318",
            Self::Grpc => "http://localhost:4317",
        }
    }
}

/// Says what is wrong with an endpoint that can never work.
fn check_endpoint(endpoint: &str, protocol: Protocol) -> Result<(), String> {
    let uri: Uri = endpoint
        .parse()
        .map_err(|error| format!("it is no URL ({error}); write http://host:port"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") if cfg!(feature = "tls") => {}
        Some("https") => {
            return Err("https needs TLS: build with --features tls, or write http://".to_owned());
        }
        _ => return Err(format!("it has no scheme; write http://{endpoint}")),
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it has no host; write http://host:port".to_owned());
    }
    match (protocol, uri.port_u16()) {
        (Protocol::HttpProtobuf, Some(4317)) => Err(
            "4317 is the port of gRPC, and the protocol is http/protobuf; \
             write port 4318, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
                .to_owned(),
        ),
        (Protocol::Grpc, Some(4318)) => Err("4318 is the port of HTTP, and the protocol is grpc; \
             write port 4317, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
            .to_owned()),
        _ => Ok(()),
    }
}

/// Prepares, in the master, what the workers need to push: a collector inside the
/// master where no other is configured, and a way to it that no proxy is on.
///
/// What is returned has to be kept for as long as workers push.
pub(crate) fn prepare(
    environment: &mut BTreeMap<String, String>,
    signal: Signal,
) -> anyhow::Result<impl Sized + use<>> {
    let embedded = embed(environment, signal)?;
    let lookup = |name: &str| {
        environment
            .get(name)
            .cloned()
            .or_else(|| env::var(name).ok())
    };
    if let Ok(Exporter::Otlp(destination)) = Exporter::read(signal, &lookup)
        && destination.is_on_loopback()
    {
        let hosts = lookup("NO_PROXY").or_else(|| lookup("no_proxy"));
        let hosts = without_proxy(&hosts.unwrap_or_default());
        environment.insert("NO_PROXY".to_owned(), hosts.clone());
        environment.insert("no_proxy".to_owned(), hosts);
    }
    Ok(embedded)
}

/// The hosts that are reached without a proxy, with this very machine added: the
/// exporter over HTTP asks a proxy even for that.
fn without_proxy(hosts: &str) -> String {
    const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];
    let hosts = hosts.split(',').map(str::trim);
    let others = hosts.filter(|host| !host.is_empty() && !LOOPBACK.contains(host));
    others.chain(LOOPBACK).collect::<Vec<_>>().join(",")
}

#[cfg(feature = "embedded-collector")]
fn embed(
    environment: &mut BTreeMap<String, String>,
    signal: Signal,
) -> Result<Option<collector::Collector>, collector::Error> {
    let signal = match signal {
        Signal::Metrics => collector::Signal::Metrics,
        Signal::Logs => collector::Signal::Logs,
        Signal::Traces => collector::Signal::Traces,
    };
    collector::embed_unless_configured(environment, &[signal])
}

#[cfg(not(feature = "embedded-collector"))]
fn embed(_: &mut BTreeMap<String, String>, _: Signal) -> anyhow::Result<Option<Infallible>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Exporter, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        Exporter::read(Signal::Metrics, &lookup)
    }

    fn destination(variables: &[(&str, &str)]) -> Destination {
        match read(variables) {
            Ok(Exporter::Otlp(destination)) => destination,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        assert_eq!(destination(&[]).endpoint, "http://localhost:4318");
        let grpc = destination(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
        assert_eq!(grpc.endpoint, "http://localhost:4317");
    }

    #[test]
    fn the_variable_of_the_signal_goes_first_and_an_empty_one_counts_as_unset() {
        let both = destination(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                "http://b:2/v1/metrics",
            ),
        ]);
        assert_eq!(both.endpoint, "http://b:2/v1/metrics");
        let empty = destination(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""),
        ]);
        assert_eq!(empty.endpoint, "http://a:1");
    }

    #[test]
    fn a_disabled_sdk_exports_nothing_whatever_else_is_set() {
        let disabled = read(&[
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
        ]);
        assert_eq!(disabled, Ok(Exporter::None));
    }

    #[test]
    fn an_endpoint_that_can_never_work_is_told_with_its_variable_and_the_fix() {
        for (protocol, endpoint, fix) in [
            ("http/protobuf", "localhost:4318", "http://localhost:4318"),
            ("http/protobuf", "http://localhost:4317", "PROTOCOL=grpc"),
            ("grpc", "http://localhost:4318", "port 4317"),
            ("http/protobuf", "http://", "http://host:port"),
            ("http/protobuf", "ftp://host", "http://"),
        ] {
            let error = read(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ])
            .unwrap_err();
            assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error}");
            assert!(error.contains(endpoint) && error.contains(fix), "{error}");
        }
    }

    #[test]
    fn https_is_told_apart_by_what_was_compiled_in() {
        let https = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://host")]);
        assert_eq!(https.is_ok(), cfg!(feature = "tls"), "{https:?}");
    }

    #[test]
    fn this_machine_is_added_once_to_the_hosts_without_a_proxy() {
        let all = "example.org,127.0.0.1,localhost,::1";
        assert_eq!(without_proxy("example.org"), all);
        assert_eq!(without_proxy(all), all);
        assert_eq!(without_proxy(" , "), "127.0.0.1,localhost,::1");
    }

    #[test]
    fn loopback_is_recognised_by_name_and_by_address() {
        for (endpoint, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.2:1", true),
            ("http://[::1]:1", true),
            ("http://example.com:1", false),
        ] {
            let found = destination(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
            assert_eq!(found.is_on_loopback(), expected, "{endpoint}");
        }
    }
}
