//! Configuration of a collector.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr},
};

use crate::Scrape;

/// The default of [`Config::body_limit`]: 16 MiB.
///
/// An export of a worker is usually a few kilobytes. The OpenTelemetry exporters limit their
/// messages to 64 MiB.
pub const DEFAULT_BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Configuration of a collector. [`Config::default`] listens on free loopback ports and prints
/// text on stdout.
pub struct Config {
    /// Address for OTLP over gRPC. Port 0 picks a free port.
    pub grpc: SocketAddr,
    /// Address for OTLP over HTTP. Port 0 picks a free port.
    pub http: SocketAddr,
    /// Format of the data written to `output`.
    pub format: Format,
    /// Destination of the text or the JSON lines. If a write fails, the collector logs it once,
    /// stops printing and keeps receiving.
    pub output: Box<dyn Write + Send>,
    /// Colour text with ANSI sequences.
    pub color: bool,
    /// Maximum size of a body in bytes, before and after decompression.
    pub body_limit: usize,
    /// How many of the latest log records, and how many of the latest spans,
    /// [`crate::Collector::received`] returns. 0, the default, keeps none.
    pub keep_records: usize,
    /// Serves the live view on the HTTP port. It keeps the latest records and takes up to 60 MB.
    pub view: bool,
    /// Another address for HTTP, such as a port that people remember for the live view. It is not
    /// used if it is taken.
    pub view_address: Option<SocketAddr>,
    /// Services whose `/metrics` the live view shows, beside what is pushed.
    pub scrape: Vec<Scrape>,
    /// Failure to simulate from the start. [`crate::Collector::set_fault`] changes it.
    pub fault: Fault,
}

impl Config {
    /// For tests: listens on free loopback ports, prints nothing, and keeps the last 100,000 log
    /// records and the last 100,000 spans.
    pub fn silent() -> Self {
        Self {
            format: Format::Silent,
            output: Box::new(io::sink()),
            color: false,
            keep_records: 100_000,
            view: false,
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
            view: true,
            view_address: None,
            scrape: Vec::new(),
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
            .field("view", &self.view)
            .field("view_address", &self.view_address)
            .field("scrape", &self.scrape)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// Output format of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Readable text.
    Text,
    /// One line of OTLP JSON for each export request, as the file exporter of the OpenTelemetry
    /// Collector writes it.
    Json,
    /// Nothing.
    Silent,
}

/// A failure that a collector simulates, to test how an application handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No failure.
    None,
    /// Answers every export with HTTP 503 or gRPC `UNAVAILABLE`, and discards its data.
    Unavailable,
    /// Accepts connections and requests, but does not answer until the fault is lifted. Then it
    /// handles the requests whose clients are still connected.
    Hang,
}

/// True if stdout is a terminal and `NO_COLOR` is unset or empty (<https://no-color.org>).
fn stdout_wants_color() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
