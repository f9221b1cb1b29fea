//! Who asks: the address and the user agent of a client.

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use actix_web::{dev::ServiceRequest, http::header::USER_AGENT};

use super::request::bounded;

/// How many texts of each kind a thread keeps. Behind a proxy or between services there
/// are few, and a short list is the quickest to search.
const KEPT: usize = 16;

/// The clients of the last requests on one thread, whose texts need not be made again.
#[derive(Default)]
pub(super) struct Peers {
    addresses: Recent<(IpAddr, Arc<str>)>,
    user_agents: Recent<Arc<str>>,
}

impl Peers {
    pub(super) fn address(&self, request: &ServiceRequest) -> Option<Arc<str>> {
        let ip = request.peer_addr()?.ip();
        let make = || (ip, ip.to_string().into());
        Some(self.addresses.get(|(known, _)| *known == ip, make).1)
    }

    pub(super) fn user_agent(&self, request: &ServiceRequest) -> Option<Arc<str>> {
        let agent = request.headers().get(USER_AGENT)?.as_bytes();
        let make = || Arc::from(&*bounded(&String::from_utf8_lossy(agent)));
        let known = |text: &Arc<str>| text.as_bytes() == agent;
        Some(self.user_agents.get(known, make))
    }
}

/// The last values that were made.
struct Recent<T>(RefCell<Vec<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Recent<T> {
    fn get(&self, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> T {
        let mut kept = self.0.borrow_mut();
        if let Some(found) = kept.iter().find(|value| is(value)) {
            return found.clone();
        }
        let made = make();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_returns_is_made_once_and_new_ones_replace_the_oldest() {
        let recent = Recent::default();
        let get = |value: usize| {
            let mut is_made = false;
            let make = || {
                is_made = true;
                value
            };
            assert_eq!(recent.get(|known| *known == value, make), value);
            is_made
        };
        assert!((0..KEPT).all(get));
        assert!(!(0..KEPT).any(get));
        assert!(get(KEPT));
        assert!(!get(1) && get(0));
        assert_eq!(recent.0.borrow().len(), KEPT);
    }
}
