//! Listening sockets: how they are bound, and how they are closed without losing
//! a connection that waits in their queue.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs as _},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use super::Error;

/// Connections that may wait in one queue; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 2048;

/// How long a taken port is tried again: workers of a master that was killed may
/// need a moment to notice and to go.
const TAKEN_PORT_PATIENCE: Duration = Duration::from_secs(2);

/// Listens on `host` and `port`, alone: while anybody else listens there it fails.
///
/// # Errors
///
/// [`Error::Resolve`] and [`Error::Bind`].
pub(super) fn listen(host: &str, port: u16) -> Result<TcpListener, Error> {
    let address = resolve(host, port)?;
    let patience = Instant::now() + TAKEN_PORT_PATIENCE;
    loop {
        match open(address, false) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < patience => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result.map_err(|error| Error::Bind { address, error }),
        }
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Error> {
    // A literal IPv6 address may come in the brackets that it has in a URL.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let found = (name, port).to_socket_addrs().and_then(|mut addresses| {
        let nothing = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
        addresses.next().ok_or_else(nothing)
    });
    found.map_err(|error| Error::Resolve {
        host: host.to_owned(),
        error,
    })
}

/// Opens a listening socket; with `shared` beside others in a `SO_REUSEPORT` group.
pub(super) fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier run in TIME_WAIT must not keep the port taken.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Ignores connections that clients begin from now on.
///
/// Those in the queue, and those of which the handshake is under way, stay. A
/// client whose SYN was ignored tries again after a second, and then finds the
/// port closed.
pub(super) fn ignore_new_connections(listener: &TcpListener) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use socket2::SockFilter;

        // The filter sees the segment from its TCP header on, where the flags are
        // in byte 13 and SYN is bit 1 (RFC 9293, section 3.1). Returning 0 drops
        // it, returning the largest length keeps all of it. Accepted connections
        // inherit the filter, which does nothing to them: they get no SYN.
        const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
        const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        SockRef::from(listener).attach_filter(&[
            SockFilter::new(LOAD_BYTE, 0, 0, 13),
            SockFilter::new(JUMP_IF_SET, 0, 1, 0b10),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ])?;
    }
    let _ = listener;
    Ok(())
}

/// Connections that wait to be accepted, where the platform tells.
pub(super) fn queue_length(listener: &TcpListener) -> io::Result<u32> {
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

/// Closes the port in every process that holds the socket: clients are refused.
pub(super) fn close_port(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).shutdown(Shutdown::Both)
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
        let listener = open((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let address = listener.local_addr().unwrap();
        let _waiting = TcpStream::connect(address).unwrap();
        assert_eq!(queue_length(&listener).unwrap(), 1);

        ignore_new_connections(&listener).unwrap();
        let ignored = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert_eq!(ignored.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(queue_length(&listener).unwrap(), 1);

        close_port(&listener).unwrap();
        let refused = TcpStream::connect(address);
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
