//! Errors that keep a server from starting.

use std::{io, net::SocketAddr, path::PathBuf};

/// An error that keeps a server from starting.
///
/// The message includes the error of the operating system, so there is no
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host name does not resolve.
    #[error(
        "cannot resolve host {host:?}: {error}; \
         check --host or BIND_HOST (127.0.0.1 is this machine only, 0.0.0.0 every interface)"
    )]
    Resolve {
        /// The host as given.
        host: String,
        /// The error of the resolver.
        error: io::Error,
    },

    /// Listening on the address failed.
    #[error("cannot listen on {address}: {error}; {}", advice(.error))]
    Bind {
        /// The address as resolved.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The program would listen on more than eight addresses.
    #[error(
        "cannot listen on {count} addresses, the limit is 8; check --host or BIND_HOST, or the \
         .socket unit"
    )]
    TooManyAddresses {
        /// How many they are.
        count: usize,
    },

    /// Listening on the Unix domain socket failed.
    #[error("cannot listen on Unix domain socket {}: {error}; {}", .path.display(), advice_for_path(.error))]
    BindUnix {
        /// The path as given.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The program cannot serve on the sockets that systemd passed.
    #[error("cannot use the sockets from systemd (LISTEN_FDS): {why}")]
    Activation {
        /// The reason, and what to do.
        why: String,
    },

    /// A system call that every server needs failed.
    #[error("cannot {what}: {error}")]
    System {
        /// The operation.
        what: &'static str,
        /// The error of the operating system.
        error: io::Error,
    },

    /// The master was started inside an async runtime.
    #[cfg(feature = "master")]
    #[error(
        "the master cannot run inside an async runtime; make `main` a plain function \
         (no `#[actix_web::main]` or `#[tokio::main]`)"
    )]
    Runtime,

    /// A reload found no executable at the path of this program.
    #[error(
        "cannot run {}: {error}; install the program there and send SIGHUP again",
        .path.display()
    )]
    Program {
        /// The path of the program.
        path: PathBuf,
        /// Why it cannot be run.
        error: io::Error,
    },

    /// The application factory failed on a serving thread.
    #[error(
        "serving thread {thread} cannot create the application: its factory failed or panicked, \
         see the message above"
    )]
    Application {
        /// The thread's index, from 0.
        thread: u16,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that listens there, \
             or choose another port with --port or PORT (0 picks a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose another port with --port or PORT"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has this address; check --host or BIND_HOST"
        }
        _ => "check --host and --port",
    }
}

fn advice_for_path(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the program that listens there, \
             or choose another path with --uds or BIND_UDS"
        }
        io::ErrorKind::AlreadyExists => "remove it, or choose another path with --uds or BIND_UDS",
        io::ErrorKind::InvalidFilename => {
            "choose a shorter path with --uds or BIND_UDS; it may be relative"
        }
        io::ErrorKind::NotFound => {
            "create its directory, or choose another path with --uds or BIND_UDS"
        }
        io::ErrorKind::PermissionDenied => {
            "this user needs write permission for its directory and for a socket that is there"
        }
        _ => "check --uds and --uds-mode",
    }
}

/// Adds the operation to an error of the operating system.
pub(crate) trait Context<T> {
    fn context(self, what: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: &'static str) -> Result<T, Error> {
        self.map_err(|error| Error::System {
            what,
            error: error.into(),
        })
    }
}
