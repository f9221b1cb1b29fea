//! Starts an embedded collector if no OTLP endpoint is configured.

use std::{
    collections::BTreeMap,
    env, fmt,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
};

use clap::Args;

use crate::{Collector, Config, Error, Scrape, Signal};

/// The port of the live view in a first run, so that a page stays open over restarts.
const VIEW_PORT: u16 = 4319;

/// Options of a program that embeds a collector.
///
/// Flatten them into the options of your program with `#[command(flatten)]`.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(about = None, long_about = None)]
pub struct EmbedOptions {
    /// Do not serve the live view.
    #[arg(
        long,
        help = "Do not serve the live view (http://127.0.0.1:4319, or another port if that is taken)"
    )]
    pub no_view: bool,
}

impl EmbedOptions {
    /// Starts a collector on free loopback ports, with the live view on port 4319 if that is free,
    /// and puts its addresses into `env`, unless the environment configures an endpoint or disables
    /// the export.
    ///
    /// `env` contains additional environment variables of the workers. They take precedence over the
    /// environment of this process. Returns `None` and leaves `env` unchanged if
    /// - `OTEL_EXPORTER_OTLP_ENDPOINT` or the endpoint variable of one of `signals` is set and not empty,
    /// - `OTEL_SDK_DISABLED` is `true`, or
    /// - the exporter variable of each of `signals` (`OTEL_METRICS_EXPORTER`, …) selects other exporters than `otlp`.
    ///
    /// Otherwise it sets the endpoint variable of each of `signals` that is exported over OTLP, and
    /// of metrics, so that the master of the workers can push what the live view shows of them. The
    /// endpoint is the gRPC address if `OTEL_EXPORTER_OTLP_PROTOCOL` or the signal's own protocol
    /// variable is `grpc`, else the HTTP address. Stderr states the addresses of the collector and
    /// how to push elsewhere.
    ///
    /// If `HTTP_PROXY` may be set, add the loopback addresses to `NO_PROXY`: the HTTP exporter uses the
    /// proxy even for loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot listen on a loopback port or cannot start its threads.
    pub fn embed_unless_configured(
        &self,
        env: &mut BTreeMap<String, String>,
        signals: &[Signal],
    ) -> Result<Option<Collector>, Error> {
        let mut exported = exported_by_otlp(env, signals);
        if exported.is_empty() || is_configured(env, signals) {
            return Ok(None);
        }
        if !exported.contains(&Signal::Metrics) && !is_configured(env, &[Signal::Metrics]) {
            exported.extend(exported_by_otlp(env, &[Signal::Metrics]));
        }
        // The workers push to a port of this run alone: those of an earlier one may still push.
        let collector = self.start(Config::default())?;
        point_at(&collector, env, &exported);
        say(format_args!(
            "no OTLP endpoint is configured, so what the workers push is printed here (embedded \
             collector: http://{}, gRPC http://{}); to push elsewhere, set \
             OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
            collector.http_addr(),
            collector.grpc_addr(),
        ));
        Ok(Some(collector))
    }

    /// Starts a collector that reads `/metrics` of this process every second and shows them in the
    /// live view. `read` returns their text. Returns `None` with `--no-view`.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot listen on a loopback port or cannot start its threads.
    pub fn scrape<E>(
        &self,
        read: impl Fn() -> Result<String, E> + Send + Sync + 'static,
    ) -> Result<Option<Collector>, Error>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.no_view {
            return Ok(None);
        }
        let collector = self.start(Config {
            scrape: vec![Scrape::text(read)],
            ..Config::silent()
        });
        collector.map(Some)
    }

    fn start(&self, config: Config) -> Result<Collector, Error> {
        let collector = Collector::start(Config {
            view: !self.no_view,
            view_address: (!self.no_view)
                .then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, VIEW_PORT))),
            ..config
        })?;
        if !self.no_view {
            say(format_args!(
                "live view on http://{}",
                collector.view_addr()
            ));
        }
        Ok(collector)
    }
}

/// Writes a line to stderr. The workers must start even if that is closed.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "collector: {line}");
}

/// The signals that an SDK exports over OTLP, according to the specification.
fn exported_by_otlp(env: &BTreeMap<String, String>, signals: &[Signal]) -> Vec<Signal> {
    if lookup(env, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Vec::new();
    }
    let by_otlp = |signal: &Signal| {
        lookup(env, &format!("OTEL_{}_EXPORTER", signal.variable_part()))
            .is_none_or(|exporters| exporters.split(',').any(is_otlp))
    };
    signals.iter().copied().filter(by_otlp).collect()
}

/// An unknown exporter name falls back to the default, OTLP.
fn is_otlp(name: &str) -> bool {
    let others = ["", "console", "none", "prometheus"];
    !others.contains(&name.trim().to_ascii_lowercase().as_str())
}

fn is_configured(env: &BTreeMap<String, String>, signals: &[Signal]) -> bool {
    lookup(env, "OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
        || signals
            .iter()
            .any(|signal| lookup(env, &variable(*signal, "ENDPOINT")).is_some())
}

fn point_at(collector: &Collector, env: &mut BTreeMap<String, String>, signals: &[Signal]) {
    for &signal in signals {
        // SDKs append no path to the endpoint of a single signal, so HTTP needs the full URL.
        let endpoint = if is_grpc(env, signal) {
            format!("http://{}", collector.grpc_addr())
        } else {
            format!("http://{}{}", collector.http_addr(), signal.path())
        };
        env.insert(variable(signal, "ENDPOINT"), endpoint);
    }
}

/// The signal's own variable goes first. An unknown value counts as unset.
fn is_grpc(env: &BTreeMap<String, String>, signal: Signal) -> bool {
    let names = [
        variable(signal, "PROTOCOL"),
        "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(),
    ];
    let values = names.iter().filter_map(|name| lookup(env, name));
    let known = ["grpc", "http/protobuf", "http/json"];
    let mut protocols = values.map(|value| value.to_ascii_lowercase());
    protocols.find(|value| known.contains(&value.as_str())) == Some("grpc".to_owned())
}

fn variable(signal: Signal, what: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.variable_part())
}

/// The value of a variable in a worker. As the specification requires, empty counts as unset.
fn lookup(env: &BTreeMap<String, String>, name: &str) -> Option<String> {
    env.get(name)
        .cloned()
        .or_else(|| env::var(name).ok())
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}
