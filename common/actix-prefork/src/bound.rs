//! What a server listens on: a port, a Unix domain socket, or what systemd passed.

use crate::{
    Address, Error, ServerOptions, bind,
    error::Context as _,
    listener::Listener,
    socket_file::{self, SocketFile},
};

/// The most addresses that a server listens on; a worker gets as many descriptors.
pub(crate) const MAX_ADDRESSES: usize = 8;

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
    pub(crate) fn open(options: &ServerOptions) -> Result<Vec<Self>, Error> {
        match Self::open_any(options)? {
            bound if bound.len() <= MAX_ADDRESSES => Ok(bound),
            bound => Err(Error::TooManyAddresses { count: bound.len() }),
        }
    }

    fn open_any(options: &ServerOptions) -> Result<Vec<Self>, Error> {
        #[cfg(target_os = "linux")]
        {
            let passed = crate::systemd::passed_sockets()?.into_iter();
            let passed: Vec<_> = passed
                .map(|listener| Self::new(listener, Origin::Passed))
                .collect::<Result<_, _>>()?;
            if !passed.is_empty() {
                return Ok(passed);
            }
        }
        if let Some(path) = &options.uds {
            let (listener, file) = socket_file::listen(path, options.uds_mode)?;
            return Ok(vec![Self::new(
                Listener::Unix(listener),
                Origin::File(file),
            )?]);
        }
        let ports = bind::listen(&options.host, options.port)?.into_iter();
        ports
            .map(|listener| Self::new(Listener::Tcp(listener), Origin::Port))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_addresses_than_a_worker_can_be_given_are_refused() {
        let options = |count: u8| ServerOptions {
            host: (1..=count).map(|last| format!("127.0.0.{last}")).collect(),
            port: 0,
            ..ServerOptions::default()
        };
        assert_eq!(Bound::open(&options(8)).unwrap().len(), 8);
        let error = Bound::open(&options(9)).unwrap_err().to_string();
        assert!(
            error.contains("9 addresses") && error.contains("--host"),
            "{error}"
        );
    }
}
