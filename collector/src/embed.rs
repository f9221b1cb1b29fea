//! The collector that a first run gets when nobody has said where its telemetry should go.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
};

use crate::{Collector, Config, Error, Signal};

/// Starts a collector on free loopback ports and puts its addresses into `env`, unless the
/// environment says where telemetry goes or that there is none.
///
/// `env` is the extra environment that the workers get; it is looked at before the process's own.
/// Nothing is embedded, and `env` stays as it is, if
/// - `OTEL_EXPORTER_OTLP_ENDPOINT` or the endpoint variable of one of `signals` is set and not empty,
/// - `OTEL_SDK_DISABLED` is `true`, or
/// - the exporter variable of each of `signals` (`OTEL_METRICS_EXPORTER`, …) names something else than `otlp`.
///
/// Otherwise each of `signals` that is exported by `otlp` gets its endpoint variable, for gRPC if
/// `OTEL_EXPORTER_OTLP_PROTOCOL` or the signal's own variable says `grpc`, else for HTTP. One line
/// on stderr says where the collector listens and how to push elsewhere. Where `HTTP_PROXY` may be set,
/// the caller has to extend `NO_PROXY`: the exporter over HTTP asks a proxy even for loopback.
///
/// # Errors
///
/// When no loopback port or no thread is to be had.
pub fn embed_unless_configured(
    env: &mut BTreeMap<String, String>,
    signals: &[Signal],
) -> Result<Option<Collector>, Error> {
    let exported = exported_by_otlp(env, signals);
    if exported.is_empty() || is_configured(env, signals) {
        return Ok(None);
    }
    let collector = Collector::start(Config::default())?;
    point_at(&collector, env, &exported);
    // A closed stderr must not keep the workers from starting.
    let _ = writeln!(
        io::stderr(),
        "collector: no OTLP endpoint is configured, so what the workers push is printed here \
         (embedded collector: http://{}, gRPC http://{}); \
         to push elsewhere, set OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
        collector.http_addr(),
        collector.grpc_addr(),
    );
    Ok(Some(collector))
}

/// The signals that an SDK which follows the specification would export by OTLP.
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

/// An exporter that is not known is replaced by the default, which is OTLP.
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
        let protocol = lookup(env, &variable(signal, "PROTOCOL"))
            .or_else(|| lookup(env, "OTEL_EXPORTER_OTLP_PROTOCOL"));
        // The endpoint of one signal is used as it stands, so it needs the path over HTTP.
        let is_grpc = protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("grpc"));
        let endpoint = if is_grpc {
            format!("http://{}", collector.grpc_addr())
        } else {
            format!("http://{}{}", collector.http_addr(), signal.path())
        };
        env.insert(variable(signal, "ENDPOINT"), endpoint);
    }
}

fn variable(signal: Signal, what: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.variable_part())
}

/// The variable's value for a worker. An empty value counts as unset, as the specification has it.
fn lookup(env: &BTreeMap<String, String>, name: &str) -> Option<String> {
    env.get(name)
        .cloned()
        .or_else(|| env::var(name).ok())
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}
