//! Flags and environment variables of a server.

use std::{io, net::TcpListener, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    Error,
    bind::{BACKLOG, listen_beside},
    cli::{defaults, usage_error, whole_number},
};

/// The maximum number of worker processes of one master.
pub const MAX_WORKERS: u16 = 256;

/// Options of a program with worker processes.
///
/// Flatten them into the options of your program with `#[command(flatten)]`.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(about = None, long_about = None)]
pub struct Options {
    /// Options that a program with one process has as well.
    #[command(flatten)]
    pub server: ServerOptions,

    /// Number of worker processes.
    #[arg(
        long,
        env = "WEB_CONCURRENCY",
        default_value_t = 2,
        value_parser = |text: &str| whole_number(text, 1, MAX_WORKERS)
    )]
    pub workers: u16,

    /// Abort a worker that has not responded for this many seconds; 0 disables it.
    #[arg(long, env = "WORKER_TIMEOUT", default_value = "30", value_parser = seconds)]
    pub timeout: Duration,

    /// Start a helper for a worker that has not responded for this many seconds; 0 disables it.
    #[arg(long, env = "WORKER_HANG_TIMEOUT", default_value = "0.2", value_parser = seconds)]
    pub hang_timeout: Duration,

    /// Seconds to go on serving after SIGTERM, before the graceful stop begins; a second
    /// SIGTERM begins it at once.
    #[arg(long, env = "DRAIN_DELAY", default_value = "0", value_parser = seconds)]
    pub drain_delay: Duration,

    /// Seconds that a worker may take to become ready.
    #[arg(long, env = "WORKER_BOOT_TIMEOUT", default_value = "60", value_parser = some_seconds)]
    pub boot_timeout: Duration,

    /// Replace a worker after this many requests; 0 disables it.
    #[arg(long, env = "MAX_REQUESTS", default_value_t = 0, value_parser = requests)]
    pub max_requests: u32,

    /// Add a random number of requests, from 0 to this, to --max-requests of each worker.
    #[arg(long, env = "MAX_REQUESTS_JITTER", default_value_t = 0, value_parser = requests)]
    pub max_requests_jitter: u32,
}

/// Options of a program that serves HTTP, with or without worker processes.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(about = None, long_about = None)]
pub struct ServerOptions {
    /// Addresses or host names to listen on, separated by commas.
    #[arg(
        long,
        env = "BIND_HOST",
        default_value = "127.0.0.1",
        value_delimiter = ','
    )]
    pub host: Vec<String>,

    /// Port to listen on; 0 picks a free one.
    #[arg(
        long,
        env = "PORT",
        default_value_t = 5100,
        value_parser = |text: &str| whole_number(text, 0, u16::MAX)
    )]
    pub port: u16,

    /// Path of a Unix domain socket to listen on instead of host and port.
    #[arg(long, env = "BIND_UDS")]
    pub uds: Option<PathBuf>,

    /// Permissions of the Unix domain socket as an octal file mode; 660 lets its group connect.
    #[arg(long, env = "UDS_MODE", default_value = "600", value_parser = mode)]
    pub uds_mode: u32,

    /// Number of serving threads in each process.
    #[arg(
        long,
        env = "WORKER_THREADS",
        default_value_t = 1,
        value_parser = |text: &str| whole_number(text, 1, 256)
    )]
    pub threads: u16,

    /// Seconds that open connections get to finish when the program stops.
    #[arg(long, env = "GRACEFUL_TIMEOUT", default_value = "30", value_parser = seconds)]
    pub graceful_timeout: Duration,

    /// Seconds that an idle connection is kept open; 0 closes it after each response.
    #[arg(long, env = "KEEP_ALIVE", default_value = "75", value_parser = seconds)]
    pub keep_alive: Duration,

    /// Seconds that a client may take for the head of a request; 0 disables it.
    #[arg(long, env = "CLIENT_REQUEST_TIMEOUT", default_value = "5", value_parser = seconds)]
    pub client_request_timeout: Duration,

    /// Seconds that a body may keep the service waiting, plus one for each 500 bytes; 0
    /// disables it.
    #[arg(long, env = "CLIENT_BODY_TIMEOUT", default_value = "20", value_parser = seconds)]
    pub client_body_timeout: Duration,

    /// Seconds that a client may keep a response waiting, plus one for each 500 bytes; 0
    /// disables it.
    #[arg(long, env = "SEND_TIMEOUT", default_value = "60", value_parser = seconds)]
    pub send_timeout: Duration,

    /// Maximum number of connections of each worker.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 25_000, value_parser = some)]
    pub max_connections: u32,

    /// Maximum size of the head of a request in bytes.
    #[arg(long, env = "MAX_HTTP_HEADER_SIZE", default_value_t = 8192, value_parser = header_size)]
    pub max_http_header_size: u32,

    /// Maximum number of connections that wait to be accepted by a worker.
    #[arg(long, env = "BACKLOG", default_value_t = BACKLOG.cast_unsigned(), value_parser = some)]
    pub backlog: u32,
}

/// Option of a program that can serve `/metrics` on a separate port.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(skip)]
#[command(about = None, long_about = None)]
pub struct MetricsPortOption {
    /// Serve /metrics on this port instead of the application's; 0 picks a free one.
    #[arg(long, env = "METRICS_PORT", value_parser = |text: &str| whole_number(text, 0, u16::MAX))]
    pub metrics_port: Option<u16>,
}

impl MetricsPortOption {
    /// Prints one line and exits with code 2 if both ports are the same.
    pub fn check(&self, server: &ServerOptions) {
        let port = server.port;
        if port != 0 && self.metrics_port == Some(port) {
            usage_error(format_args!(
                "--metrics-port (METRICS_PORT) and --port (PORT) are both {port}; choose another \
                 port for /metrics, or unset METRICS_PORT to serve it on the application's port"
            ));
        }
    }

    /// Listens on the port, if it is set, at each address of the application.
    ///
    /// # Errors
    ///
    /// Fails if a host does not resolve or the port is in use.
    pub fn listen(&self, server: &ServerOptions) -> io::Result<Option<Vec<TcpListener>>> {
        let (hosts, Some(port)) = (&server.host, self.metrics_port) else {
            return Ok(None);
        };
        listen_beside(hosts, port).map(Some).map_err(|error| {
            let Error::Bind { address, error } = error else {
                return io::Error::other(error);
            };
            let text = format!(
                "cannot listen on {address} for /metrics: {error}; choose another port with \
                 --metrics-port or METRICS_PORT (0 picks a free one)"
            );
            io::Error::new(error.kind(), text)
        })
    }
}

impl Default for Options {
    /// The defaults of the flags.
    fn default() -> Self {
        defaults()
    }
}

impl Default for ServerOptions {
    /// The defaults of the flags.
    fn default() -> Self {
        defaults()
    }
}

/// Parses a number of seconds from 0 to a day, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    const DAY: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=DAY).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected a number of seconds from 0 to 86400".to_owned()),
    }
}

/// As [`seconds`], but more than none.
fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("expected a number of seconds above 0, up to 86400".to_owned()),
        time => Ok(time),
    }
}

/// Parses a number of requests.
fn requests(text: &str) -> Result<u32, String> {
    let allowed = |_| format!("expected a whole number from 0 to {}", u32::MAX);
    text.parse().map_err(allowed)
}

/// Parses a number of connections.
fn some(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("expected a whole number from 1 to 1000000".to_owned()),
    }
}

/// Parses a size of heads. actix cannot read a larger one.
fn header_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bytes @ 1024..=131_072) => Ok(bytes),
        _ => Err("expected a number of bytes from 1024 to 131072".to_owned()),
    }
}

/// Parses the permissions of a file, which are the last nine bits of its mode.
fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected an octal number from 0 to 777".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_flags() {
        let options = Options::default();
        assert_eq!((options.workers, options.server.port), (2, 5100));
        assert_eq!(options.server.keep_alive, Duration::from_secs(75));
    }

    #[test]
    fn a_worker_gets_some_time_to_boot() {
        assert_eq!(some_seconds("0.1"), Ok(Duration::from_millis(100)));
        assert!(some_seconds("0").is_err());
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(mode("660"), Ok(0o660));
        for bad in ["", "rw", "800", "1777", "-1"] {
            assert!(mode(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn seconds_may_have_a_fraction_and_must_be_finite_and_positive() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "NaN", "inf", "86401", "1m"] {
            assert!(seconds(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
