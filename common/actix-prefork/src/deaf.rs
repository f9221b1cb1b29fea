//! A listening socket that ignores connections which clients begin, while those in
//! its queue, and those of which the handshake is under way, are as before.

use std::{
    io,
    net::TcpListener,
    os::fd::{AsRawFd as _, RawFd},
};

/// Ignores connections that clients begin from now on.
///
/// Who accepts from the socket calls [`hear`] on what it has got.
pub(crate) fn ignore_new_connections(listener: &TcpListener) -> io::Result<()> {
    match drop_first_segments(listener) {
        // Some kernels want CAP_NET_ADMIN for a filter, which a service should not have.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let address = listener.local_addr()?;
            set_least_hop_limit(listener.as_raw_fd(), address.is_ipv6(), i32::from(u8::MAX))
        }
        result => result,
    }
}

/// Lets an accepted connection be heard whose handshake was under way when its
/// listening socket became deaf.
pub(crate) fn hear(connection: RawFd) {
    // A socket that has no such option was not deaf either.
    let _ = set_least_hop_limit(connection, true, 0);
}

/// Drops the first segment of each handshake.
#[cfg(target_os = "linux")]
fn drop_first_segments(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

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
    ])
}

#[cfg(not(target_os = "linux"))]
fn drop_first_segments(_listener: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// Drops segments that come with a lower hop limit than `least`; 0 drops none.
///
/// Hosts begin at 64 or 128 (RFC 1700 asks for 64), so that 255 drops what they
/// send. `IP_MINTTL` of [ip(7)] is for RFC 5082 and asks for no privilege. A
/// listening socket does not apply it to the last segment of a handshake, yet the
/// new connection inherits it. What the client sends until that is mended, it sends
/// again.
///
/// [ip(7)]: https://man7.org/linux/man-pages/man7/ip.7.html
#[cfg(target_os = "linux")]
fn set_least_hop_limit(socket: RawFd, version_6: bool, least: i32) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, least)?;
    // A socket of version 6 may have peers of both.
    if version_6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, least)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn set_least_hop_limit(_socket: RawFd, _version_6: bool, _least: i32) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn set(socket: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    use std::mem;

    // SAFETY: setsockopt(2) reads as many bytes at `value` as its last argument
    // says, which is its size, and takes any number for a descriptor.
    let result = unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_hop_limit_makes_a_listening_socket_deaf_and_needs_no_privilege() {
        for host in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            // Not every machine has IPv6.
            let Ok(listener) = TcpListener::bind(host) else {
                continue;
            };
            let address = listener.local_addr().unwrap();
            let mut early = TcpStream::connect(address).unwrap();
            set_least_hop_limit(listener.as_raw_fd(), address.is_ipv6(), 255).unwrap();
            let patience = Duration::from_millis(50);
            assert!(TcpStream::connect_timeout(&address, patience).is_err());

            let (mut accepted, _) = listener.accept().unwrap();
            hear(accepted.as_raw_fd());
            early.write_all(b"x").unwrap();
            accepted.read_exact(&mut [0]).unwrap();

            // As the next process on the socket has it.
            set_least_hop_limit(listener.as_raw_fd(), address.is_ipv6(), 0).unwrap();
            TcpStream::connect(address).unwrap();
        }
    }
}
