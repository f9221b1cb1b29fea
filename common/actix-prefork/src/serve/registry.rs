//! The connections of one thread, so that idle ones can be closed.

use std::{cell::RefCell, os::fd::RawFd, rc::Rc, time::Duration};

use slab::Slab;

use super::exchange::{Exchange, Phase};
use crate::deaf;

/// How long a connection counts as one on which something will be asked soon.
const NEW: Duration = Duration::from_secs(1);

/// The connections of one thread.
#[derive(Clone, Default)]
pub(crate) struct Registry(Rc<RefCell<Slab<Entry>>>);

struct Entry {
    descriptor: RawFd,
    exchange: Rc<Exchange>,
}

/// A connection that is in the registry until this is dropped.
pub(crate) struct Registered {
    registry: Registry,
    key: usize,
}

impl Registry {
    /// Takes a connection in, which has its descriptor for as long as it is registered.
    pub(crate) fn register(&self, descriptor: RawFd, exchange: Rc<Exchange>) -> Registered {
        let key = self.0.borrow_mut().insert(Entry {
            descriptor,
            exchange,
        });
        let registry = self.clone();
        Registered { registry, key }
    }

    /// Lets connections be heard whose handshake was under way when their listening
    /// socket became deaf.
    pub(crate) fn hear(&self) {
        for (_, entry) in self.0.borrow().iter() {
            deaf::hear(entry.descriptor);
        }
    }

    /// Closes every connection as soon as it is idle.
    pub(crate) fn close_idle(&self) {
        for (_, entry) in self.0.borrow().iter() {
            entry.exchange.close_idle();
        }
    }

    /// Whether a connection could be closed in favour of another one.
    pub(crate) fn has_idle(&self) -> bool {
        self.0
            .borrow()
            .iter()
            .any(|(_, entry)| is_idle(&entry.exchange))
    }

    /// Closes the connections that have been idle for longest, at most `count`, and says
    /// how many.
    pub(crate) fn close_longest_idle(&self, count: usize) -> usize {
        let all = self.0.borrow();
        let exchanges = all.iter().map(|(_, entry)| &entry.exchange);
        let mut idle: Vec<_> = exchanges.filter(|exchange| is_idle(exchange)).collect();
        idle.sort_by_key(|exchange| std::cmp::Reverse(exchange.age()));
        idle.truncate(count);
        idle.iter().for_each(|exchange| exchange.close_idle());
        idle.len()
    }
}

fn is_idle(exchange: &Exchange) -> bool {
    // The first request of a new connection is on its way.
    let is_new = !exchange.has_had_a_request() && exchange.age() < NEW;
    exchange.phase() == Phase::Idle && !exchange.closes_idle() && !is_new
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.0.borrow_mut().remove(self.key);
    }
}
