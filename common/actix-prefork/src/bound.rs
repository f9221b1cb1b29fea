//! What a server listens on: a port, a Unix domain socket, or what systemd passed.

use std::path::Path;

use crate::{
    Address, Error, ServerOptions,
    error::Context as _,
    listener::{self, Listener},
    socket_file::{self, SocketFile},
};

/// A listening socket, and whose it is.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    pub(crate) address: Address,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Port,
    File(SocketFile),
    /// A service manager holds it too, and goes on doing so when this program has
    /// ended: what waits in its queue is for the next start.
    #[cfg(target_os = "linux")]
    Passed,
}

impl Bound {
    /// Takes what systemd passed, or else opens what the options say.
    ///
    /// # Errors
    ///
    /// Fails if anybody else listens there, or it cannot be listened on.
    pub(crate) fn open(options: &ServerOptions) -> Result<Self, Error> {
        #[cfg(target_os = "linux")]
        if let Some(listener) = crate::systemd::passed_socket()? {
            return Self::new(listener, Origin::Passed);
        }
        match &options.uds {
            Some(path) => Self::unix(path, options.uds_mode),
            None => {
                let listener = listener::listen(&options.host, options.port)?;
                Self::new(Listener::Tcp(listener), Origin::Port)
            }
        }
    }

    fn unix(path: &Path, mode: u32) -> Result<Self, Error> {
        let (listener, file) = socket_file::listen(path, mode)?;
        Self::new(Listener::Unix(listener), Origin::File(file))
    }

    fn new(listener: Listener, origin: Origin) -> Result<Self, Error> {
        let address = listener.address();
        Ok(Self {
            address: address.context("read the address of the socket")?,
            listener,
            origin,
        })
    }

    /// Whether the socket is gone when this program has ended, so that what waits
    /// in its queue has to be served before.
    pub(crate) fn ends_with_us(&self) -> bool {
        match self.origin {
            Origin::Port | Origin::File(_) => true,
            #[cfg(target_os = "linux")]
            Origin::Passed => false,
        }
    }

    /// Ignores connections that clients begin from now on, unless somebody comes
    /// after us who wants them.
    pub(crate) fn ignore_new_connections(&self) {
        match &self.origin {
            Origin::Port => {
                if let Err(error) = self.listener.ignore_new_connections() {
                    log::warn!("cannot ignore new connections on {}: {error}", self.address);
                }
            }
            Origin::File(file) => file.remove(),
            #[cfg(target_os = "linux")]
            Origin::Passed => {}
        }
    }

    /// Closes the socket in every process, and returns how many connections
    /// waited in its queue, which are reset. What is not ours alone stays open.
    pub(crate) fn close(&self) -> u32 {
        if !self.ends_with_us() {
            return 0;
        }
        close(&self.listener, &self.address)
    }
}

/// Closes a socket in every process, and returns how many connections waited in
/// its queue, which are reset.
pub(crate) fn close(listener: &Listener, address: &Address) -> u32 {
    let waiting = match listener {
        Listener::Tcp(_) => listener.queue_length().unwrap_or_default(),
        Listener::Unix(_) => 0,
    };
    if let Err(error) = listener.close() {
        log::warn!("cannot close {address}: {error}");
    }
    waiting + listener.discard_queue()
}
