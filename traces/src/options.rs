//! The command line.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Parser;
use common::{
    cli,
    telemetry::client::http_url,
    workers::{self, Address},
};
use reqwest::Url;

/// Traces: one trace through several requests and worker processes, over OTLP.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) workers: workers::Options,

    #[cfg(feature = "embedded-collector")]
    #[command(flatten)]
    pub(crate) collector: collector::EmbedOptions,

    /// Probability, 0 to 1, that a request meets the simulated error.
    #[arg(long, env = "ERROR_RATE", default_value_t = 0.5, value_parser = cli::share)]
    pub(crate) error_rate: f64,

    /// http:// URL that `GET /chain` calls [default: this service's own `/`].
    #[arg(long, env = "CHAIN_URL", value_parser = http_url)]
    chain_url: Option<Url>,

    /// Tell the client the ids of its request in the header `traceresponse`.
    #[arg(long, env = "TRACERESPONSE")]
    pub(crate) traceresponse: bool,

    /// Also serve the routes below /demo: work on other threads, panic, sleep, echo
    /// what a client sends.
    #[arg(long)]
    pub(crate) demo: bool,
}

impl Options {
    /// What `GET /chain` calls, in a service that listens on `address`.
    pub(crate) fn chain_url(&self, address: &Address) -> anyhow::Result<Url> {
        match (&self.chain_url, address) {
            (Some(url), _) => Ok(url.clone()),
            (None, Address::Tcp(address)) => Ok(own_url(*address).parse()?),
            (None, address) => anyhow::bail!(
                "the demonstration's client cannot call {address}: set --chain-url or CHAIN_URL"
            ),
        }
    }
}

/// The root of the service that listens there. The address that stands for all of
/// them cannot be called.
fn own_url(mut listens_on: SocketAddr) -> String {
    match listens_on {
        SocketAddr::V4(address) if address.ip().is_unspecified() => {
            listens_on.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            listens_on.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    format!("http://{listens_on}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_calls_itself_on_loopback() {
        for (listens_on, url) in [
            ("127.0.0.1:5100", "http://127.0.0.1:5100/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("[::]:5100", "http://[::1]:5100/"),
            ("192.0.2.7:1", "http://192.0.2.7:1/"),
        ] {
            assert_eq!(own_url(listens_on.parse().unwrap()), url);
        }
    }
}
