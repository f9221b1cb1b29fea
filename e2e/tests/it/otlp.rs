//! Programs that push over OTLP, and the collector that they push to.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use collector::{Collector, Config};
use e2e::Program;

/// The transport of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Http, Protocol::Grpc];

impl Protocol {
    /// The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            Self::Grpc => "grpc",
        }
    }

    /// Selects the value for this protocol.
    pub(crate) fn choose<T>(self, http: T, grpc: T) -> T {
        match self {
            Self::Http => http,
            Self::Grpc => grpc,
        }
    }
}

/// A collector that prints nothing and keeps everything that it receives.
pub(crate) fn collector() -> Result<Collector> {
    Collector::start(Config::silent()).context("cannot start a collector")
}

/// The program pushing to this collector.
pub(crate) fn pushing_to(program: Program, collector: &Collector, protocol: Protocol) -> Program {
    let address = protocol.choose(collector.http_addr(), collector.grpc_addr());
    pushing_to_address(program, address, protocol)
}

/// The program pushing to an address with this protocol.
pub(crate) fn pushing_to_address(
    program: Program,
    address: SocketAddr,
    protocol: Protocol,
) -> Program {
    program
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
}

/// Proxy variables in all spellings, with a port where nothing listens.
pub(crate) fn with_dead_proxy(mut program: Program) -> Result<Program> {
    let unused = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let proxy = format!("http://{unused}");
        program = program.env(name, &proxy).env(&name.to_lowercase(), &proxy);
    }
    Ok(program)
}
