//! Where a server listens.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// Where a server listens.
///
/// It is displayed as nginx's `proxy_pass` takes it: `http://127.0.0.1:5100`, or
/// `http://unix:/run/app.sock` for a Unix domain socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address and a port, which is the real one where 0 was asked for.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Address {
    /// The address of a path there, which begins with a slash.
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
