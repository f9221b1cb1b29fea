//! The listening sockets of all slots, which the master holds for life.
//!
//! Each slot has a socket of its own in one `SO_REUSEPORT` group: the kernel
//! spreads connections evenly over them, where processes that share one socket
//! race for it. Since the master holds the sockets, a worker's death closes none.

use std::net::{SocketAddr, TcpListener};

use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use socket2::SockRef;

use super::{Error, error::Context as _, listener};

/// The listening sockets, one for each slot.
pub(super) struct Sockets {
    address: SocketAddr,
    slots: Vec<TcpListener>,
    /// The slots that new connections are sent to.
    targets: Vec<u32>,
}

impl Sockets {
    /// Listens on `host` and `port` with one socket for each of `count` slots.
    ///
    /// # Errors
    ///
    /// Fails if anybody else listens there, another master included: the first
    /// socket is bound alone, and joins the group that it founds after that.
    pub(super) fn listen(host: &str, port: u16, count: u16) -> Result<Self, Error> {
        let first = listener::listen(host, port)?;
        let address = first.local_addr().context("read the port of the socket")?;
        SockRef::from(&first)
            .set_reuse_port(true)
            .context("share the port between sockets (SO_REUSEPORT)")?;
        let mut slots = vec![first];
        for _ in 1..count {
            let socket = listener::open(address, true);
            slots.push(socket.map_err(|error| Error::Bind { address, error })?);
        }
        Ok(Self {
            address,
            targets: (0..count.into()).collect(),
            slots,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn slot(&self, slot: u16) -> &TcpListener {
        &self.slots[usize::from(slot)]
    }

    /// Opens a socket for one more slot. Nothing new comes to it until it is
    /// steered to.
    ///
    /// # Errors
    ///
    /// [`Error::Bind`], or [`Error::System`] where it cannot be kept empty.
    pub(super) fn add(&mut self) -> Result<(), Error> {
        // A member of the group gets its share unless a program says otherwise.
        attach(&self.slots[0], &mut choose(&self.targets)).context("steer new connections")?;
        let socket = listener::open(self.address, true).map_err(|error| Error::Bind {
            address: self.address,
            error,
        })?;
        self.slots.push(socket);
        Ok(())
    }

    /// Sends new connections to those slots alone that `targets` names. If it
    /// names none, they go where they went before.
    pub(super) fn steer(&mut self, targets: Vec<u32>) {
        if targets == self.targets || targets.is_empty() {
            return;
        }
        if let Err(error) = attach(&self.slots[0], &mut choose(&targets)) {
            log::warn!("cannot steer new connections away from slots without a worker: {error}");
        }
        self.targets = targets;
    }

    pub(super) fn ignore_new_connections(&self) {
        for socket in &self.slots {
            if let Err(error) = listener::ignore_new_connections(socket) {
                log::warn!("cannot ignore new connections on {}: {error}", self.address);
            }
        }
    }

    /// Closes the port: clients are refused from now on. Returns how many
    /// connections waited in a queue, which are reset.
    pub(super) fn close(&self) -> u32 {
        let mut waiting = 0;
        for socket in &self.slots {
            waiting += listener::queue_length(socket).unwrap_or_default();
            if let Err(error) = listener::close_port(socket) {
                log::warn!("cannot close {}: {error}", self.address);
            }
        }
        waiting
    }
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

fn attach(group: &TcpListener, program: &mut [libc::sock_filter]) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    setsockopt(group, AttachReusePortCbpf, &program)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn queues(sockets: &Sockets) -> Vec<u32> {
        let length = |socket| listener::queue_length(socket).unwrap();
        sockets.slots.iter().map(length).collect()
    }

    #[test]
    fn a_second_group_on_the_same_port_is_refused() {
        let first = Sockets::listen("127.0.0.1", 0, 2).unwrap();
        assert!(Sockets::listen("127.0.0.1", first.address().port(), 2).is_err());
    }

    #[test]
    fn new_connections_go_to_the_slots_that_have_a_worker_and_no_others() {
        let mut sockets = Sockets::listen("127.0.0.1", 0, 4).unwrap();
        let connect = |count| -> Vec<_> {
            let one = |_| TcpStream::connect(sockets.address()).unwrap();
            (0..count).map(one).collect()
        };
        let address = sockets.address();
        let connect_to = |count| -> Vec<_> {
            (0..count)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect()
        };
        let first = connect(80);
        assert!(queues(&sockets).iter().all(|&length| length > 0));

        sockets.steer(vec![0, 2]);
        let before = queues(&sockets);
        let second = connect_to(80);
        let after = queues(&sockets);
        assert_eq!((after[1], after[3]), (before[1], before[3]));
        assert!(after[0] > before[0] && after[2] > before[2]);

        sockets.steer(vec![0, 1, 2, 3]);
        let third = connect_to(80);
        assert!((0..4).all(|slot| queues(&sockets)[slot] > after[slot]));
        drop((first, second, third));
    }

    #[test]
    fn an_added_slot_gets_nothing_until_it_is_steered_to_and_one_that_is_left_nothing_more() {
        let mut sockets = Sockets::listen("127.0.0.1", 0, 2).unwrap();
        let address = sockets.address();
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
