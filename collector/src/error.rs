use std::{io, net::SocketAddr};

/// Why a collector could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The collector could not listen on an address.
    #[error(
        "cannot listen on {address} for OTLP over {protocol}: {source}; \
         stop the program that uses the port, or choose another address (port 0 picks a free one)"
    )]
    Listen {
        /// `gRPC` or `HTTP`.
        protocol: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The operating system refused a thread or an event queue.
    #[error(
        "cannot start the collector's threads: {0}; raise the limits on processes or open files"
    )]
    Threads(#[source] io::Error),
}
