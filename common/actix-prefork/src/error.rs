//! What keeps a server from starting.

use std::{io, net::SocketAddr, path::PathBuf};

/// An error that keeps a server from starting.
///
/// The message is complete: it contains what the operating system said, which is
/// therefore not a `source` as well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--host` is no address of this machine.
    #[error(
        "cannot find the address of host {host:?}: {error}; \
         check --host or BIND_HOST (127.0.0.1 is this machine only, 0.0.0.0 every interface)"
    )]
    Resolve {
        /// The host as given.
        host: String,
        /// Why it does not resolve.
        error: io::Error,
    },

    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; {}", advice(.error))]
    Bind {
        /// The address as resolved.
        address: SocketAddr,
        /// Why it cannot be bound.
        error: io::Error,
    },

    /// A Unix domain socket cannot be listened on.
    #[error("cannot listen on the Unix domain socket {}: {error}; {}", .path.display(), advice_for_path(.error))]
    BindUnix {
        /// The path as given.
        path: PathBuf,
        /// Why it cannot be bound.
        error: io::Error,
    },

    /// What a service manager passed is not what is served on.
    #[error("cannot use the sockets that systemd passed (LISTEN_FDS): {why}")]
    Activation {
        /// What is wrong, and what to do.
        why: String,
    },

    /// The operating system refused something that every server needs.
    #[error("cannot {what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it was refused.
        error: io::Error,
    },

    /// The program's file cannot be run by new workers.
    #[error(
        "cannot run {}: {error}; put the program there and send SIGHUP again",
        .path.display()
    )]
    Program {
        /// Where the program was called from.
        path: PathBuf,
        /// Why it cannot be run.
        error: io::Error,
    },

    /// The application could not be created on a serving thread.
    #[error(
        "serving thread {thread} could not create the application: its factory failed or panicked; \
         the message above says why"
    )]
    Application {
        /// The thread's index, from 0.
        thread: u16,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, or another master, listens there: stop it, \
             or choose another port with --port or PORT (0 picks a free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose another with --port or PORT"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: check --host or BIND_HOST"
        }
        _ => "check --host and --port",
    }
}

fn advice_for_path(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, or another master, listens there: stop it, \
             or choose another path with --uds or BIND_UDS"
        }
        io::ErrorKind::AlreadyExists => "remove it, or choose another path with --uds or BIND_UDS",
        io::ErrorKind::InvalidFilename => {
            "choose a shorter one with --uds or BIND_UDS; a relative one will do"
        }
        io::ErrorKind::NotFound => {
            "its directory has to exist: create it, or check --uds or BIND_UDS"
        }
        io::ErrorKind::PermissionDenied => {
            "this user has to be allowed to write in its directory, and to replace what is there"
        }
        io::ErrorKind::WouldBlock => "another program holds a lock on its directory: try again",
        _ => "check --uds and --uds-mode",
    }
}

/// Names what the operating system was asked for when it refused.
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
