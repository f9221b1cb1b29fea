//! Listening sockets: how they are closed without losing a connection that waits in
//! their queue.

use std::{
    io,
    net::{Shutdown, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixListener,
    },
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockRef, Socket};

use crate::{Address, deaf};

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

/// Connections that wait in any of the queues.
pub(crate) fn queued<'a>(listeners: impl IntoIterator<Item = &'a Listener>) -> io::Result<u32> {
    let lengths = listeners.into_iter().map(Listener::queue_length);
    lengths.sum()
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
    use std::{
        net::{Ipv4Addr, TcpStream},
        time::Duration,
    };

    use super::*;
    use crate::bind::open;

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
