//! The listening sockets of all slots, which the master holds for life.
//!
//! Each slot has a socket of its own in one `SO_REUSEPORT` group: the kernel
//! spreads connections evenly over them, where processes that share one socket
//! race for it. Since the master holds the sockets, a worker's death closes none.
//!
//! A Unix domain socket, and a socket that systemd passed, can have no group: all
//! slots share it.

use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use socket2::SockRef;

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
    /// The slots that new connections are sent to.
    targets: Vec<u32>,
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
        let mut others = Vec::new();
        if let Some(address) = group {
            SockRef::from(&first.listener)
                .set_reuse_port(true)
                .context("share the port between sockets (SO_REUSEPORT)")?;
            for _ in 1..count {
                others.push(open_another(address)?);
            }
        }
        Ok(Self {
            first,
            group,
            others,
            targets: (0..count.into()).collect(),
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.first.address
    }

    /// Whether all slots share one socket, so that a slot has no queue of its own.
    pub(crate) fn are_shared(&self) -> bool {
        self.group.is_none()
    }

    /// The socket that the workers of a slot accept from.
    pub(crate) fn slot(&self, slot: u16) -> &Listener {
        match slot.checked_sub(1) {
            Some(other) if !self.are_shared() => &self.others[usize::from(other)],
            _ => &self.first.listener,
        }
    }

    /// Opens a socket for one more slot. Nothing new comes to it until it is
    /// steered to.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], or [`Error::System`] where it cannot be kept empty.
    pub(crate) fn add(&mut self) -> Result<(), Error> {
        if let Some(address) = self.group {
            // A member of the group gets its share unless a program says otherwise.
            attach(&self.first.listener, &mut choose(&self.targets))
                .context("steer new connections")?;
            self.others.push(open_another(address)?);
        }
        Ok(())
    }

    /// Sends new connections to those slots alone that `targets` names. If it
    /// names none, they go where they went before.
    pub(crate) fn steer(&mut self, targets: Vec<u32>) {
        if targets == self.targets || targets.is_empty() {
            return;
        }
        if !self.are_shared()
            && let Err(error) = attach(&self.first.listener, &mut choose(&targets))
        {
            log::warn!("cannot steer new connections away from slots without a worker: {error}");
        }
        self.targets = targets;
    }

    /// Ignores connections that clients begin from now on. Returns `false` where
    /// they are not ignored but left in the queue, for who comes after us.
    pub(crate) fn ignore_new_connections(&self) -> bool {
        self.first.ignore_new_connections();
        let address = self.address();
        for socket in &self.others {
            if let Err(error) = socket.ignore_new_connections() {
                log::warn!("cannot ignore new connections on {address}: {error}");
            }
        }
        self.first.ends_with_us()
    }

    /// Closes the port: clients are refused from now on. Returns how many
    /// connections waited in a queue, which are reset.
    pub(crate) fn close(&self) -> u32 {
        let close = |socket| bound::close(socket, self.address());
        self.first.close() + self.others.iter().map(close).sum::<u32>()
    }
}

fn open_another(address: SocketAddr) -> Result<Listener, Error> {
    let socket = listener::open(address, true);
    socket
        .map(Listener::Tcp)
        .map_err(|error| Error::Bind { address, error })
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
        let (mut sockets, address) = listen(0, 4).unwrap();
        let connect = |count| -> Vec<_> {
            let one = |_| TcpStream::connect(address).unwrap();
            (0..count).map(one).collect()
        };
        let first = connect(80);
        assert!(queues(&sockets).iter().all(|&length| length > 0));

        sockets.steer(vec![0, 2]);
        let before = queues(&sockets);
        let second = connect(80);
        let after = queues(&sockets);
        assert_eq!((after[1], after[3]), (before[1], before[3]));
        assert!(after[0] > before[0] && after[2] > before[2]);

        sockets.steer(vec![0, 1, 2, 3]);
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
        sockets.add().unwrap();
        let first = connect(60);
        assert_eq!(queues(&sockets)[2], 0);
        sockets.steer(vec![0, 1, 2]);
        let second = connect(60);
        let before = queues(&sockets);
        assert!(before[2] > 0);
        sockets.steer(vec![0, 1]);
        let third = connect(60);
        assert_eq!(queues(&sockets)[2], before[2]);
        drop((first, second, third));
    }
}
