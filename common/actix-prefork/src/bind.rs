//! How ports are bound.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use crate::Error;

/// Connections that may wait in one queue; the kernel lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 2048;

/// How long a taken address is tried again: workers of a master that was killed
/// may need a moment to notice and to go.
pub(crate) const TAKEN_PATIENCE: Duration = Duration::from_secs(2);

/// Listens on all addresses of `hosts`, alone: while anybody else listens on one of them it
/// fails. Port 0 picks one port that is free on all.
///
/// # Errors
///
/// [`Error::Resolve`] and [`Error::Bind`].
pub(crate) fn listen(hosts: &[String], port: u16) -> Result<Vec<TcpListener>, Error> {
    let addresses = resolve(hosts, port)?;
    let patience = Instant::now() + TAKEN_PATIENCE;
    loop {
        match open_all(&addresses) {
            Err(Error::Bind { error, .. })
                if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < patience =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Listens on a port in addition to that of the service, for example for `/metrics`.
///
/// `hosts` has the syntax of `--host`; there is one listener for each address. Port 0 picks
/// a free port.
///
/// ```
/// let hosts = ["127.0.0.1".to_owned()];
/// let listeners = actix_prefork::listen_beside(&hosts, 0)?;
/// assert_ne!(listeners[0].local_addr().unwrap().port(), 0);
/// # Ok::<(), actix_prefork::Error>(())
/// ```
///
/// # Errors
///
/// Fails if a host does not resolve, or if listening fails on one of the addresses.
pub fn listen_beside(hosts: &[String], port: u16) -> Result<Vec<TcpListener>, Error> {
    open_all(&resolve(hosts, port)?)
}

/// The addresses of all hosts, each once.
fn resolve(hosts: &[String], port: u16) -> Result<Vec<SocketAddr>, Error> {
    let mut found = Vec::new();
    for host in hosts {
        let addresses = resolve_one(host, port).map_err(|error| Error::Resolve {
            host: host.clone(),
            error,
        })?;
        for address in addresses {
            if !found.contains(&address) {
                found.push(address);
            }
        }
    }
    Ok(found)
}

fn resolve_one(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // A literal IPv6 address may come in the brackets that it has in a URL.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    if name.eq_ignore_ascii_case("localhost") {
        // Browsers do not ask the system for it (RFC 6761, section 6.3), which may know but one.
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let found: Vec<_> = (name, port).to_socket_addrs()?.collect();
    match found.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, "no address found")),
        false => Ok(found),
    }
}

/// Listens on all `addresses` at the port of the first.
fn open_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let mut opened = Vec::new();
    let mut port = None;
    let mut absent = None;
    for &(mut address) in addresses {
        address.set_port(port.unwrap_or(address.port()));
        match open(address, false) {
            Ok(socket) => {
                port = socket.local_addr().ok().map(|actual| actual.port());
                opened.push(socket);
            }
            // A name may have addresses that this machine has not, like `localhost` where
            // IPv6 is off.
            Err(error) if is_absent(&error) => absent = Some(Error::Bind { address, error }),
            Err(error) => return Err(Error::Bind { address, error }),
        }
    }
    match absent {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_refused_with_the_address() {
        let first = listen(&hosts(&["127.0.0.1"]), 0).unwrap();
        let port = first[0].local_addr().unwrap().port();
        let error = listen(&hosts(&["127.0.0.2", "127.0.0.1"]), port).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")), "{error}");
        assert!(error.contains("--port"), "{error}");
    }

    #[test]
    fn a_host_that_does_not_resolve_is_named() {
        let error = listen(&hosts(&["127.0.0.1", "no.such.host.invalid"]), 0).unwrap_err();
        assert!(
            error.to_string().contains("no.such.host.invalid"),
            "{error}"
        );
    }

    #[test]
    fn all_addresses_have_one_port_and_what_the_machine_has_not_is_left_out() {
        // 192.0.2.1 is for documentation (RFC 5737): no machine has it.
        let found = listen(
            &hosts(&["192.0.2.1", "127.0.0.1", "127.0.0.2", "127.0.0.1"]),
            0,
        );
        let found: Vec<_> = found
            .unwrap()
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect();
        let port = found[0].port();
        let expected =
            ["127.0.0.1", "127.0.0.2"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
        assert_eq!(found, expected);
        assert!(listen(&hosts(&["192.0.2.1"]), 0).is_err());
    }
}
