//! Where a server listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// The address that a server listens on.
///
/// Its `Display` is the syntax of nginx's `proxy_pass`: `http://127.0.0.1:5100`, or
/// `http://unix:/run/app.sock` for a Unix domain socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address and a port. If port 0 was configured, it is the actual port.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Address {
    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        match self {
            Self::Tcp(_) => format!("{self}{path}"),
            // A colon ends the socket's own path, as nginx has it.
            Self::Unix(_) => format!("{self}:{path}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "http://{address}"),
            Self::Unix(path) => write!(out, "http://unix:{}", path.display()),
        }
    }
}
