//! A load client that accounts for every request.
//!
//! A *closed loop* is a number of clients, each of which sends its next request when the last one was answered. An *open
//! loop* sends a request on a new connection at a fixed pace, whether the server answers or not, as users who do not
//! know of each other do: only it shows how long a stall is for them.
//!
//! Each request is either answered or fails in exactly one way, see [`Kind`]. The load stays on loopback and ends by itself.

mod client;
mod report;
mod run;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::Address;

pub use self::{
    report::{Failure, Kind, Report},
    run::Traffic,
};

/// The most clients of a closed loop: each one is a connection and a file descriptor.
const CLIENTS: usize = 1024;

/// Load on one server.
#[derive(Clone, Debug)]
pub struct Load {
    address: Address,
    path: String,
    arrivals: Arrivals,
    keep_alive: bool,
    requests: Option<u64>,
    at_most: Duration,
    patience: Duration,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
enum Arrivals {
    Closed { clients: usize },
    Open { every: Duration },
}

impl Load {
    /// One client in a closed loop on a keep-alive connection, for at most a minute.
    pub fn on(address: impl Into<Address>) -> Self {
        Self {
            address: address.into(),
            path: "/".to_owned(),
            arrivals: Arrivals::Closed { clients: 1 },
            keep_alive: true,
            requests: None,
            at_most: Duration::from_secs(60),
            patience: Duration::from_secs(20),
        }
    }

    /// So many clients in a closed loop.
    #[must_use]
    pub fn clients(mut self, clients: usize) -> Self {
        self.arrivals = Arrivals::Closed { clients };
        self
    }

    /// An open loop: a new connection each time `interval` has passed.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.arrivals = Arrivals::Open { every: interval };
        self.keep_alive = false;
        self
    }

    /// Whether a client sends its requests on one connection, or each one on a new connection with `Connection: close`.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// What is asked for, with its query.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// Ends after so many requests, the failed ones included.
    #[must_use]
    pub fn requests(mut self, requests: u64) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Ends after this time even if nobody stops it and requests are left.
    #[must_use]
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// How long a request may take until it counts as [`Kind::TimedOut`]; 20 seconds unless told otherwise.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Starts the load in a thread of its own.
    ///
    /// # Errors
    ///
    /// When the server is not on loopback, or there are more than 1024 clients.
    pub fn start(self) -> Result<Traffic> {
        if let Address::Tcp(address) = self.address {
            ensure!(address.ip().is_loopback(), "{address} is not on loopback");
        }
        if let Arrivals::Closed { clients } = self.arrivals {
            ensure!(
                (1..=CLIENTS).contains(&clients),
                "{clients} clients, and 1 to {CLIENTS} are allowed"
            );
        }
        Traffic::start(self)
    }

    /// Starts the load and waits for its end.
    ///
    /// # Errors
    ///
    /// As those of [`Load::start`].
    pub fn run(self) -> Result<Report> {
        self.start()?.finish()
    }
}
