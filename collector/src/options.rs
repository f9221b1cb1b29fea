//! The command line.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
};

use clap::{Parser, ValueEnum, error::ErrorKind};
use collector::{Config, DEFAULT_BODY_LIMIT, Fault, Format, Scrape};

/// Receives OpenTelemetry data (OTLP) and prints it. It stores and forwards nothing.
#[derive(Debug, Parser)]
#[command(name = "collector", version)]
pub(crate) struct Options {
    /// Address for OTLP over gRPC; port 0 picks a free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4317", value_parser = endpoint)]
    grpc_endpoint: SocketAddr,

    /// Address for OTLP over HTTP; port 0 picks a free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4318", value_parser = endpoint)]
    http_endpoint: SocketAddr,

    /// Output format on stdout
    #[arg(long, value_enum, default_value_t = Output::Text)]
    format: Output,

    /// Maximum size of a request body, before and after decompression
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_BODY_LIMIT, value_parser = body_limit)]
    body_limit: usize,

    /// Show the metrics of a Prometheus target in the live view, read every second; may be repeated
    #[arg(long, value_name = "URL", value_parser = target)]
    scrape: Vec<String>,

    /// Do not serve the live view on the HTTP port
    #[arg(long)]
    no_view: bool,

    /// Simulate a failure, to test how an application handles it
    #[arg(long, value_enum)]
    fault: Option<Pretence>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Readable text
    Text,
    /// One line of OTLP JSON for each request
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pretence {
    /// Answer every request with HTTP 503 or gRPC UNAVAILABLE
    Unavailable,
    /// Accept requests and never answer
    Hang,
}

impl Options {
    /// Parses the command line. After printing help or an error it returns the exit code, which is
    /// 2 for an invalid command line.
    pub(crate) fn parse() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|err| {
            if matches!(
                err.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) {
                // The reader may have closed the pipe.
                let _ = err.print();
                return ExitCode::SUCCESS;
            }
            eprintln!("{}", one_line(&err.to_string()));
            ExitCode::from(2)
        })
    }

    pub(crate) fn into_config(self) -> Config {
        Config {
            grpc: self.grpc_endpoint,
            http: self.http_endpoint,
            format: match self.format {
                Output::Text => Format::Text,
                Output::Json => Format::Json,
            },
            body_limit: self.body_limit,
            view: !self.no_view,
            scrape: self
                .scrape
                .iter()
                .flat_map(|url| Scrape::url(url))
                .collect(),
            fault: match self.fault {
                None => Fault::None,
                Some(Pretence::Unavailable) => Fault::Unavailable,
                Some(Pretence::Hang) => Fault::Hang,
            },
            ..Config::default()
        }
    }
}

fn endpoint(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .map_err(|err| format!("{err}; expected a host and a port, such as 127.0.0.1:4317"))?
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

fn target(text: &str) -> Result<String, String> {
    Scrape::url(text).map(|_| text.to_owned())
}

fn body_limit(text: &str) -> Result<usize, String> {
    /// Maximum length of a gRPC message.
    const MAX: usize = u32::MAX as usize;
    match text.parse() {
        Ok(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        _ => Err(format!("expected a number of bytes from 1 to {MAX}")),
    }
}

/// clap's error message in one line, without its usage hints.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
