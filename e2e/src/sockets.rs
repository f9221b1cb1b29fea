//! Information on the IPv4 connections of a local port from `/proc`.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};

/// A connection to a server's port, as seen by the server.
#[derive(Clone, Copy, Debug)]
struct Connection {
    peer_port: u16,
    /// 0 while the connection is in the queue of the listening socket and not accepted.
    inode: u64,
}

/// Peer ports of established connections that no process has accepted.
///
/// # Errors
///
/// Returns an error if `/proc/net/tcp` cannot be read.
pub fn queued(port: u16) -> Result<BTreeSet<u16>> {
    let mut waiting = established(port)?;
    waiting.retain(|connection| connection.inode == 0);
    Ok(peer_ports(&waiting))
}

/// Peer ports of the connections that `pid` has accepted.
///
/// # Errors
///
/// Returns an error if `/proc` cannot be read, for example because the process is gone.
pub fn accepted_by(pid: u32, port: u16) -> Result<BTreeSet<u16>> {
    let directory = format!("/proc/{pid}/fd");
    let held: BTreeSet<u64> = fs::read_dir(&directory)
        .with_context(|| format!("cannot list {directory}"))?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let name = link.to_str()?;
            name.strip_prefix("socket:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect();
    let mut accepted = established(port)?;
    accepted.retain(|connection| held.contains(&connection.inode));
    Ok(peer_ports(&accepted))
}

fn peer_ports(connections: &[Connection]) -> BTreeSet<u16> {
    connections
        .iter()
        .map(|connection| connection.peer_port)
        .collect()
}

fn established(port: u16) -> Result<Vec<Connection>> {
    let table = fs::read_to_string("/proc/net/tcp").context("cannot read /proc/net/tcp")?;
    Ok(table
        .lines()
        .skip(1)
        .filter_map(|line| parse(line, port))
        .collect())
}

/// One line of proc_net_tcp(5): number, local address, remote address, state, ..., inode.
fn parse(line: &str, port: u16) -> Option<Connection> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port_of =
        |field: usize| u16::from_str_radix(fields.get(field)?.split_once(':')?.1, 16).ok();
    // States from include/net/tcp_states.h. A peer that has closed its sending side (CLOSE_WAIT) still expects a
    // response.
    let open = matches!(*fields.get(3)?, "01" | "08");
    (open && port_of(1)? == port).then_some(Connection {
        peer_port: port_of(2)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_queued_until_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let from = BTreeSet::from([client.local_addr().unwrap().port()]);
        let this = std::process::id();

        assert_eq!(queued(port).unwrap(), from);
        assert!(accepted_by(this, port).unwrap().is_empty());

        let _accepted = listener.accept().unwrap();
        assert!(queued(port).unwrap().is_empty());
        assert_eq!(accepted_by(this, port).unwrap(), from);
    }
}
