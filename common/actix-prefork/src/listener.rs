//! Listening sockets: how a port is bound, and how they are closed without losing
//! a connection that waits in their queue.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
    thread,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::{Address, Error, serve::deaf};

/// Connections that may wait in one queue; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 2048;

/// How long a taken address is tried again: workers of a master that was killed
/// may need a moment to notice and to go.
pub(crate) const TAKEN_PATIENCE: Duration = Duration::from_secs(2);

/// A listening socket of either kind.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?),
            Self::Unix(listener) => {
                // Without a path it is of Linux's abstract namespace.
                let path = listener.local_addr()?;
                Address::Unix(path.as_pathname().map(Into::into).unwrap_or_default())
            }
        })
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Ignores connections that clients begin from now on, where the socket can.
    ///
    /// Those in the queue, and those of which the handshake is under way, stay. A
    /// client whose SYN was ignored tries again after a second, and then finds the
    /// port closed. For a Unix domain socket the removal of its file does this.
    pub(crate) fn ignore_new_connections(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => deaf::ignore_new_connections(listener),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Connections that wait to be accepted, where the platform tells; of a Unix
    /// domain socket only whether there are any.
    pub(crate) fn queue_length(&self) -> io::Result<u32> {
        match self {
            Self::Tcp(listener) => queue_length(listener),
            Self::Unix(listener) => {
                let mut descriptor = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                let waiting = poll(&mut descriptor, PollTimeout::ZERO)?;
                Ok(u32::from(waiting > 0))
            }
        }
    }

    /// Connections that wait to be accepted, where the system tells the number.
    #[cfg(feature = "master")]
    pub(crate) fn exact_queue_length(&self) -> Option<u32> {
        match self {
            Self::Tcp(listener) => queue_length(listener).ok(),
            Self::Unix(_) => None,
        }
    }

    /// Closes the socket in every process that holds it: clients are refused.
    pub(crate) fn close(&self) -> io::Result<()> {
        SockRef::from(self).shutdown(Shutdown::Both)
    }

    /// Takes what is left in the queue of a closed socket, and says how many
    /// connections that were; they are reset.
    pub(crate) fn discard_queue(&self) -> u32 {
        match self {
            // To close the port has emptied the queue.
            Self::Tcp(_) => 0,
            Self::Unix(listener) => (0..).take_while(|_| listener.accept().is_ok()).count() as u32,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    /// Takes a descriptor for what it is, and makes it non-blocking.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        socket.set_nonblocking(true)?;
        Ok(if socket.local_addr()?.is_unix() {
            Self::Unix(socket.into())
        } else {
            Self::Tcp(socket.into())
        })
    }
}

/// Listens on `host` and `port`, alone: while anybody else listens there it fails.
///
/// # Errors
///
/// [`Error::Resolve`] and [`Error::Bind`].
pub(crate) fn listen(host: &str, port: u16) -> Result<TcpListener, Error> {
    let address = resolve(host, port)?;
    let patience = Instant::now() + TAKEN_PATIENCE;
    loop {
        match open(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < patience => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result.map_err(|error| Error::Bind { address, error }),
        }
    }
}

/// Listens on a port in addition to that of the service, for example for `/metrics`.
///
/// `host` has the syntax of `--host`. Port 0 picks a free port.
///
/// ```
/// let listener = actix_prefork::listen_beside("127.0.0.1", 0)?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Fails if the host does not resolve, or if listening fails on each of its addresses. The error
/// names neither host nor port; the caller knows which option they come from.
pub fn listen_beside(host: &str, port: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (without_brackets(host), port).to_socket_addrs()?.collect();
    TcpListener::bind(addresses.as_slice())
}

/// A literal IPv6 address may come in the brackets that it has in a URL.
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Error> {
    let addresses = (without_brackets(host), port).to_socket_addrs();
    let found = addresses.and_then(|mut addresses| {
        let nothing = || io::Error::new(io::ErrorKind::NotFound, "no address found");
        addresses.next().ok_or_else(nothing)
    });
    found.map_err(|error| Error::Resolve {
        host: host.to_owned(),
        error,
    })
}

/// Opens a listening socket; with `shared` beside others in a `SO_REUSEPORT` group.
pub(crate) fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier run in TIME_WAIT must not keep the port taken.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    // Accepted connections inherit it, so that a client that vanished is noticed.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10));
    socket.set_tcp_keepalive(&keepalive)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn queue_length(listener: &TcpListener) -> io::Result<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::{mem, os::fd::AsRawFd as _};

        let mut info = mem::MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = mem::size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: getsockopt(2) writes at most `length` bytes to `info`, which is
        // that large, and the descriptor is open for as long as `listener` lives.
        let result = unsafe {
            libc::getsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut length,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `tcp_info` consists of integers, so the zeros it was made of are
        // a value of it whatever part of them the kernel wrote over.
        let info = unsafe { info.assume_init() };
        // For a listening socket the kernel reports its accept queue here.
        Ok(info.tcpi_unacked)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = listener;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_refused_with_the_address() {
        let first = listen("127.0.0.1", 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen("127.0.0.1", port).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    #[test]
    fn a_host_that_does_not_resolve_is_named() {
        let error = listen("no.such.host.invalid", 0).unwrap_err().to_string();
        assert!(error.contains("no.such.host.invalid"), "{error}");
    }

    #[test]
    fn the_queue_is_counted_and_a_new_connection_is_ignored_then_refused() {
        let socket = open((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener::Tcp(socket);
        let _waiting = TcpStream::connect(address).unwrap();
        assert_eq!(listener.queue_length().unwrap(), 1);

        listener.ignore_new_connections().unwrap();
        let ignored = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(ignored.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(listener.queue_length().unwrap(), 1);

        listener.close().unwrap();
        let refused = TcpStream::connect(address);
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
