//! The listening sockets of all slots, which the master holds for life: a worker's death
//! closes none.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use super::{group::Group, policy::Queues};
use crate::{
    Address, Error, ServerOptions,
    bound::Bound,
    listener::{self, Listener},
};

/// The listening sockets.
pub(crate) struct Sockets {
    /// One for each address.
    groups: Vec<Group>,
    /// The number of slots.
    count: u16,
}

impl Sockets {
    /// Listens where the options say, at each address with one socket for each of `count`
    /// slots if that is a port.
    ///
    /// # Errors
    ///
    /// Fails if anybody else listens there, another master included: the first
    /// socket is bound alone, and joins the group that it founds after that.
    pub(crate) fn listen(options: &ServerOptions, count: u16) -> Result<Self, Error> {
        let mut sockets = Self {
            groups: Bound::open(options)?.into_iter().map(Group::new).collect(),
            count: 1,
        };
        for slot in 1..count {
            sockets.add(&(0..slot.into()).collect::<Vec<_>>())?;
        }
        sockets.steer(&(0..count.into()).collect::<Vec<_>>());
        Ok(sockets)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.groups.iter().map(Group::address)
    }

    /// What connections wait in.
    pub(crate) fn queues(&self) -> Queues {
        // All are ports, or all were passed, or there is one.
        self.groups[0].queues()
    }

    /// The number of slots that have sockets.
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    fn slot(&self, slot: u16) -> impl Iterator<Item = &Listener> {
        self.groups.iter().map(move |group| group.slot(slot))
    }

    /// The sockets that the workers of a slot accept from.
    pub(crate) fn descriptors(&self, slot: u16) -> Vec<BorrowedFd<'_>> {
        self.slot(slot).map(Listener::as_fd).collect()
    }

    /// Connections that wait in the queues of a slot.
    pub(crate) fn queue_length(&self, slot: u16) -> io::Result<u32> {
        listener::queued(self.slot(slot))
    }

    /// As [`queue_length`](Self::queue_length), where the system tells the number.
    pub(crate) fn exact_queue_length(&self, slot: u16) -> Option<u32> {
        self.slot(slot).map(Listener::exact_queue_length).sum()
    }

    /// Opens sockets for one more slot. Nothing new comes to them until they are steered to:
    /// connections go to `targets`.
    ///
    /// # Errors
    ///
    /// Those of [`Group::add`]. Nothing is added then.
    pub(crate) fn add(&mut self, targets: &[u32]) -> Result<(), Error> {
        for index in 0..self.groups.len() {
            if let Err(error) = self.groups[index].add(targets) {
                self.groups[..index].iter_mut().for_each(Group::remove_last);
                return Err(error);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Sends new connections to the slots that `targets` names, and to no others.
    pub(crate) fn steer(&self, targets: &[u32]) {
        self.groups.iter().for_each(|group| group.steer(targets));
    }

    /// Ignores connections that clients begin from now on, unless they are left in the
    /// queue for who comes after us.
    pub(crate) fn ignore_new_connections(&self) {
        self.groups.iter().for_each(Group::ignore_new_connections);
    }

    /// Closes the ports: clients are refused from now on. Returns how many
    /// connections waited in a queue, which are reset.
    pub(crate) fn close(&self) -> u32 {
        self.groups.iter().map(Group::close).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};

    use clap::Parser as _;

    use super::*;
    use crate::bind;

    fn queues(sockets: &Sockets) -> Vec<u32> {
        let length = |slot| sockets.queue_length(slot).unwrap();
        (0..sockets.count()).map(length).collect()
    }

    fn listen(port: u16, count: u16) -> Result<(Sockets, SocketAddr), Error> {
        let port = port.to_string();
        let options = Options::parse_from(["test", "--port", &port]);
        let sockets = Sockets::listen(&options.server, count)?;
        let Some(Address::Tcp(address)) = sockets.addresses().next().cloned() else {
            panic!("it listens on a port");
        };
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
        let stranger = bind::open(address, true).unwrap();
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
        assert!(bind::open(address, true).is_err());
    }
}
