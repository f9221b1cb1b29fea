//! The listening sockets of all slots at one address.
//!
//! Each slot has a socket of its own in one `SO_REUSEPORT` group: the kernel
//! spreads connections evenly over them, where processes that share one socket
//! race for it.
//!
//! A Unix domain socket, and a socket that systemd passed, can have no group: all
//! slots share it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
};

use nix::sys::stat::fstat;
use socket2::SockRef;

use super::{policy::Queues, steering};
use crate::{
    Address, Error, bind,
    bound::{self, Bound},
    error::Context as _,
    listener::Listener,
};

/// The listening sockets of one address.
pub(crate) struct Group {
    /// The socket of the first slot, or of all.
    first: Bound,
    /// The address, if each slot has a socket of its own.
    own: Option<SocketAddr>,
    /// The sockets of the other slots, then.
    others: Vec<Listener>,
}

impl Group {
    /// The group that begins with the socket of the first slot.
    pub(crate) fn new(first: Bound) -> Self {
        let own = match first.address {
            Address::Tcp(address) if first.ends_with_us() => Some(address),
            _ => None,
        };
        Self {
            first,
            own,
            others: Vec::new(),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.first.address
    }

    /// What connections wait in.
    pub(crate) fn queues(&self) -> Queues {
        match self.own {
            Some(_) => Queues::Own,
            None if self.first.ends_with_us() => Queues::Shared,
            None => Queues::Kept,
        }
    }

    /// The socket that the workers of a slot accept from.
    pub(crate) fn slot(&self, slot: u16) -> &Listener {
        match slot.checked_sub(1) {
            Some(other) if self.own.is_some() => &self.others[usize::from(other)],
            _ => &self.first.listener,
        }
    }

    /// Opens a socket for one more slot. Nothing new comes to it until it is steered to:
    /// connections go to `targets`.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], also where another process has joined the group: it would have
    /// the index of the new socket. [`Error::System`] where the socket cannot be kept
    /// empty.
    pub(crate) fn add(&mut self, targets: &[u32]) -> Result<(), Error> {
        let Some(address) = self.own else {
            return Ok(());
        };
        if self.others.is_empty() {
            // Only now, since a socket that shares its port can be joined.
            SockRef::from(&self.first.listener)
                .set_reuse_port(true)
                .context("share the port between sockets (SO_REUSEPORT)")?;
        } else {
            // A member of the group gets its share unless a program says otherwise.
            steering::steer(&self.first.listener, targets).context("steer new connections")?;
        }
        self.refuse_strangers(address)?;
        let socket = bind::open(address, true);
        let socket = socket.map_err(|error| Error::Bind { address, error })?;
        self.others.push(Listener::Tcp(socket));
        let alone = self.refuse_strangers(address);
        if alone.is_err() {
            self.remove_last();
        }
        // The group is founded by its second member.
        steering::steer(&self.first.listener, targets).context("steer new connections")?;
        alone
    }

    /// Takes back what [`add`](Self::add) has added.
    pub(crate) fn remove_last(&mut self) {
        self.others.pop();
    }

    /// Fails if a socket of another process is a member of the group.
    fn refuse_strangers(&self, address: SocketAddr) -> Result<(), Error> {
        let ours = self.others.iter().chain([&self.first.listener]);
        let ours = ours.map(|socket| fstat(socket.as_fd()).map(|stat| stat.st_ino));
        let ours: Vec<u64> = ours
            .collect::<Result<_, _>>()
            .context("identify a socket")?;
        match listeners(address) {
            Ok(all) if all.iter().any(|socket| !ours.contains(socket)) => Err(Error::Bind {
                address,
                error: io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process listens there, too (SO_REUSEPORT)",
                ),
            }),
            // Without /proc nobody can tell.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Sends new connections to the slots that `targets` names, and to no others.
    pub(crate) fn steer(&self, targets: &[u32]) {
        let has_others = !self.others.is_empty();
        if has_others && let Err(error) = steering::steer(&self.first.listener, targets) {
            log::warn!("cannot steer new connections away from slots without a worker: {error}");
        }
    }

    /// Ignores connections that clients begin from now on, unless they are left in the
    /// queue for who comes after us.
    pub(crate) fn ignore_new_connections(&self) {
        self.first.ignore_new_connections();
        let address = self.address();
        for socket in &self.others {
            if let Err(error) = socket.ignore_new_connections() {
                log::warn!("cannot ignore new connections on {address}: {error}");
            }
        }
    }

    /// Closes the port: clients are refused from now on. Returns how many
    /// connections waited in a queue, which are reset.
    pub(crate) fn close(&self) -> u32 {
        let close = |socket| bound::close(socket, self.address());
        self.first.close() + self.others.iter().map(close).sum::<u32>()
    }
}

/// The inodes of all sockets that listen on exactly this address (proc_net_tcp(5)).
fn listeners(address: SocketAddr) -> io::Result<Vec<u64>> {
    const LISTEN: &str = "0A";
    let hex = |bytes: &[u8]| -> String {
        let words = bytes.chunks_exact(4);
        let word = |word: &[u8]| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        words.map(|bytes| format!("{:08X}", word(bytes))).collect()
    };
    let (file, host) = match address.ip() {
        IpAddr::V4(ip) => ("/proc/self/net/tcp", hex(&ip.octets())),
        IpAddr::V6(ip) => ("/proc/self/net/tcp6", hex(&ip.octets())),
    };
    let local = format!("{host}:{:04X}", address.port());
    let mut found = Vec::new();
    for line in BufReader::new(File::open(file)?).lines().skip(1) {
        let line = line?;
        let fields: Vec<_> = line.split_whitespace().collect();
        // Sockets that listen come first.
        let [_, at, _, LISTEN, ..] = fields[..] else {
            break;
        };
        if at == local {
            found.extend(fields.get(9).and_then(|inode| inode.parse::<u64>().ok()));
        }
    }
    Ok(found)
}
