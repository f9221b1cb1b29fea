//! The command line.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
};

use clap::{Parser, ValueEnum, error::ErrorKind};
use collector::{Config, DEFAULT_BODY_LIMIT, Fault, Format};

/// Receives OpenTelemetry data (OTLP) and prints it. Stores nothing, forwards nothing.
#[derive(Debug, Parser)]
#[command(name = "collector", version)]
pub(crate) struct Options {
    /// Where to receive OTLP over gRPC; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4317", value_parser = endpoint)]
    grpc_endpoint: SocketAddr,

    /// Where to receive OTLP over HTTP; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4318", value_parser = endpoint)]
    http_endpoint: SocketAddr,

    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Output::Text)]
    format: Output,

    /// The largest body in bytes, before and after decompression
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_BODY_LIMIT, value_parser = body_limit)]
    body_limit: usize,

    /// Pretend a failure, to see what an application makes of it
    #[arg(long, value_enum)]
    fault: Option<Pretence>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// Blocks for a person to read
    Text,
    /// One line of OTLP JSON for each request
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Pretence {
    /// Answer everything with HTTP 503 or gRPC UNAVAILABLE
    Unavailable,
    /// Accept everything and never answer
    Hang,
}

impl Options {
    /// The options, or the exit code after help or an error was printed: 2 for bad usage.
    pub(crate) fn parse() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|err| {
            if matches!(
                err.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) {
                // A reader of the help may have closed the pipe.
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
        .map_err(|err| format!("{err}; a host and a port are expected, as in 127.0.0.1:4317"))?
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

fn body_limit(text: &str) -> Result<usize, String> {
    /// What a gRPC message length can say.
    const MAX: usize = u32::MAX as usize;
    match text.parse() {
        Ok(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        _ => Err(format!("a number of bytes from 1 to {MAX} is expected")),
    }
}

/// clap's message without its usage hints, which take more lines than the error.
fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
