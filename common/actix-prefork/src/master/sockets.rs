//! The listening sockets of all slots, which the master holds for life.
//!
//! Each slot has a socket of its own in one `SO_REUSEPORT` group: the kernel
//! spreads connections evenly over them, where processes that share one socket
//! race for it. Since the master holds the sockets, a worker's death closes none.
//!
//! A Unix domain socket, and a socket that systemd passed, can have no group: all
//! slots share it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
};

use nix::sys::{
    socket::{setsockopt, sockopt::AttachReusePortCbpf},
    stat::fstat,
};
use socket2::SockRef;

use super::policy::Queues;
use crate::{
    Address, Error, ServerOptions,
    bound::{self, Bound},
    error::Context as _,
    listener::{self, Listener},
};

/// The listening sockets.
pub(crate) struct Sockets {
    /// The socket of the first slot, or of all.
    first: Bound,
    /// The address of the group, if each slot has a socket of its own.
    group: Option<SocketAddr>,
    /// The sockets of the other slots, then.
    others: Vec<Listener>,
}

impl Sockets {
    /// Listens where the options say, with one socket for each of `count` slots
    /// if that is a port.
    ///
    /// # Errors
    ///
    /// Fails if anybody else listens there, another master included: the first
    /// socket is bound alone, and joins the group that it founds after that.
    pub(crate) fn listen(options: &ServerOptions, count: u16) -> Result<Self, Error> {
        let first = Bound::open(options)?;
        let group = match first.address {
            Address::Tcp(address) if first.ends_with_us() => Some(address),
            _ => None,
        };
        let mut sockets = Self {
            first,
            group,
            others: Vec::new(),
        };
        for slot in 1..count {
            sockets.add(&(0..slot.into()).collect::<Vec<_>>())?;
        }
        sockets.steer(&(0..count.into()).collect::<Vec<_>>());
        Ok(sockets)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.first.address
    }

    /// What connections wait in.
    pub(crate) fn queues(&self) -> Queues {
        match self.group {
            Some(_) => Queues::Own,
            None if self.first.ends_with_us() => Queues::Shared,
            None => Queues::Kept,
        }
    }

    /// The number of sockets.
    pub(crate) fn count(&self) -> u16 {
        self.others.len() as u16 + 1
    }

    /// The socket that the workers of a slot accept from.
    pub(crate) fn slot(&self, slot: u16) -> &Listener {
        match slot.checked_sub(1) {
            Some(other) if self.group.is_some() => &self.others[usize::from(other)],
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
        let Some(address) = self.group else {
            return Ok(());
        };
        if self.others.is_empty() {
            // Only now, since a socket that shares its port can be joined.
            SockRef::from(&self.first.listener)
                .set_reuse_port(true)
                .context("share the port between sockets (SO_REUSEPORT)")?;
        } else {
            // A member of the group gets its share unless a program says otherwise.
            attach(&self.first.listener, &mut choose(targets)).context("steer new connections")?;
        }
        self.refuse_strangers(address)?;
        let socket = listener::open(address, true);
        let socket = socket.map_err(|error| Error::Bind { address, error })?;
        self.others.push(Listener::Tcp(socket));
        let alone = self.refuse_strangers(address);
        if alone.is_err() {
            self.others.pop();
        }
        // The group is founded by its second member.
        attach(&self.first.listener, &mut choose(targets)).context("steer new connections")?;
        alone
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
        let has_group = self.group.is_some() && !self.others.is_empty();
        if has_group && let Err(error) = attach(&self.first.listener, &mut choose(targets)) {
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

/// A classic BPF program that returns one of `targets` at random. A target is the
/// index of a socket in its group, which is the order in which they were opened.
fn choose(targets: &[u32]) -> Vec<libc::sock_filter> {
    const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM).cast_unsigned();
    let step = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, RANDOM),
        step(
            libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
            0,
            0,
            targets.len() as u32,
        ),
    ];
    if (0..).zip(targets).all(|(index, target)| index == *target) {
        program.push(step(libc::BPF_RET | libc::BPF_A, 0, 0, 0));
        return program;
    }
    for (index, target) in (0..).zip(targets) {
        program.extend([
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, index),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, *target),
        ]);
    }
    // Not reached. The kernel wants a program to end with a return.
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, 0));
    program
}

fn attach(group: &Listener, program: &mut [libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    setsockopt(group, AttachReusePortCbpf, &program)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use clap::Parser as _;

    use super::*;

    fn queues(sockets: &Sockets) -> Vec<u32> {
        let count = sockets.others.len() as u16 + 1;
        let length = |slot| sockets.slot(slot).queue_length().unwrap();
        (0..count).map(length).collect()
    }

    fn listen(port: u16, count: u16) -> Result<(Sockets, SocketAddr), Error> {
        let port = port.to_string();
        let options = Options::parse_from(["test", "--port", &port]);
        let sockets = Sockets::listen(&options.server, count)?;
        let address = sockets.group.expect("each slot has a socket");
        Ok((sockets, address))
    }

    #[derive(clap::Parser)]
    struct Options {
        #[command(flatten)]
        server: ServerOptions,
    }

    #[test]
    fn a_second_group_on_the_same_port_is_refused() {
        let (_first, address) = listen(0, 2).unwrap();
        assert!(listen(address.port(), 2).is_err());
    }

    #[test]
    fn new_connections_go_to_the_slots_that_have_a_worker_and_no_others() {
        let (sockets, address) = listen(0, 4).unwrap();
        let connect = |count| -> Vec<_> {
            let one = |_| TcpStream::connect(address).unwrap();
            (0..count).map(one).collect()
        };
        let first = connect(80);
        assert!(queues(&sockets).iter().all(|&length| length > 0));

        sockets.steer(&[0, 2]);
        let before = queues(&sockets);
        let second = connect(80);
        let after = queues(&sockets);
        assert_eq!((after[1], after[3]), (before[1], before[3]));
        assert!(after[0] > before[0] && after[2] > before[2]);

        sockets.steer(&[0, 1, 2, 3]);
        let third = connect(80);
        assert!((0..4).all(|slot| queues(&sockets)[slot] > after[slot]));
        drop((first, second, third));
    }

    #[test]
    fn an_added_slot_gets_nothing_until_it_is_steered_to_and_one_that_is_left_nothing_more() {
        let (mut sockets, address) = listen(0, 2).unwrap();
        let connect = |count| -> Vec<_> {
            let one = |_| TcpStream::connect(address).unwrap();
            (0..count).map(one).collect()
        };
        sockets.add(&[0, 1]).unwrap();
        let first = connect(60);
        assert_eq!(queues(&sockets)[2], 0);
        sockets.steer(&[0, 1, 2]);
        let second = connect(60);
        let before = queues(&sockets);
        assert!(before[2] > 0);
        sockets.steer(&[0, 1]);
        let third = connect(60);
        assert_eq!(queues(&sockets)[2], before[2]);
        drop((first, second, third));
    }

    #[test]
    fn a_socket_of_another_process_gets_nothing_and_keeps_slots_from_being_added() {
        let (mut sockets, address) = listen(0, 2).unwrap();
        let stranger = listener::open(address, true).unwrap();
        let clients: Vec<_> = (0..60)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        assert_eq!(queues(&sockets).iter().sum::<u32>(), 60);
        let error = sockets.add(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        drop(stranger);
        sockets.add(&[0, 1]).unwrap();
        sockets.steer(&[2]);
        let last = TcpStream::connect(address).unwrap();
        assert_eq!(queues(&sockets)[2], 1);
        drop((clients, last));
    }

    #[test]
    fn a_port_of_one_worker_cannot_be_joined() {
        let (_sockets, address) = listen(0, 1).unwrap();
        assert!(listener::open(address, true).is_err());
    }
}
