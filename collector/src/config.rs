//! What a collector listens on, prints, keeps and pretends.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr},
};

/// The default of [`Config::body_limit`]: 16 MiB.
///
/// A worker's export is a few kilobytes. The OpenTelemetry exporters cap their own messages at 64 MiB.
pub const DEFAULT_BODY_LIMIT: usize = 16 * 1024 * 1024;

/// How a collector is set up. [`Config::default`] listens on free loopback ports and prints text on stdout.
pub struct Config {
    /// Where OTLP over gRPC is received. Port 0 picks a free one.
    pub grpc: SocketAddr,
    /// Where OTLP over HTTP is received. Port 0 picks a free one.
    pub http: SocketAddr,
    /// What is written to `output`.
    pub format: Format,
    /// Where the text or the JSON lines go. An output that cannot be written to any more is
    /// reported once and then ignored; receiving goes on.
    pub output: Box<dyn Write + Send>,
    /// Whether text is coloured with ANSI sequences.
    pub color: bool,
    /// The largest body in bytes, as sent and once more after decompression.
    pub body_limit: usize,
    /// How many log records, and how many spans, [`crate::Collector::received`] gives back. The oldest
    /// go first. 0, the default, keeps none.
    pub keep_records: usize,
    /// What the collector pretends from the start; [`crate::Collector::set_fault`] changes it.
    pub fault: Fault,
}

impl Config {
    /// A test double: free loopback ports, prints nothing, keeps the last 100,000 log records and spans.
    pub fn silent() -> Self {
        Self {
            format: Format::Silent,
            output: Box::new(io::sink()),
            color: false,
            keep_records: 100_000,
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            grpc: loopback,
            http: loopback,
            format: Format::Text,
            output: Box::new(io::stdout()),
            color: stdout_wants_color(),
            body_limit: DEFAULT_BODY_LIMIT,
            keep_records: 0,
            fault: Fault::None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("grpc", &self.grpc)
            .field("http", &self.http)
            .field("format", &self.format)
            .field("color", &self.color)
            .field("body_limit", &self.body_limit)
            .field("keep_records", &self.keep_records)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// What a collector writes for each export request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A block for a person to read.
    Text,
    /// One line of OTLP JSON, as the file exporter of the OpenTelemetry Collector writes it.
    Json,
    /// Nothing.
    Silent,
}

/// A failure that a collector pretends, to see what an application makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Receives as it should.
    None,
    /// Answers every export with HTTP 503 or gRPC `UNAVAILABLE`, and takes nothing.
    Unavailable,
    /// Accepts connections and requests, and answers none until the fault is lifted. Then those
    /// whose client still waits are handled.
    Hang,
}

/// Colour is for a terminal whose user has not set `NO_COLOR` (<https://no-color.org>).
fn stdout_wants_color() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
