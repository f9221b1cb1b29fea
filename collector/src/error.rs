use std::{io, net::SocketAddr};

/// Why a collector could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on.
    #[error(
        "cannot listen on {address} for OTLP over {protocol}: {source}; \
         stop the program that uses the port, or choose another address (port 0 picks a free one)"
    )]
    Listen {
        /// `gRPC` or `HTTP`.
        protocol: &'static str,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system gave no thread or no event queue.
    #[error(
        "cannot start the collector's threads: {0}; raise the limits on processes or open files"
    )]
    Threads(#[source] io::Error),
}
