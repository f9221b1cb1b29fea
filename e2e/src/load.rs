//! A load client that accounts for every request. Programs such as `wrk` and `oha` count errors, but do not say which
//! request was lost in which way, and no test can ask them for it while they run.
//!
//! In a *closed loop*, each client sends its next request when the last one was answered. An *open loop* sends requests
//! on new connections at a fixed interval, even if the server does not answer, like independent users. Only an open loop
//! shows how long users wait during a stall.
//!
//! Each request is answered or fails in exactly one way, see [`Kind`]. The load uses only loopback and ends by itself.

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

/// Maximum number of clients in a closed loop. Each one needs a file descriptor.
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
    /// A closed loop with one client on a keep-alive connection, for at most a minute.
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

    /// Sets a closed loop with this number of clients.
    #[must_use]
    pub fn clients(mut self, clients: usize) -> Self {
        self.arrivals = Arrivals::Closed { clients };
        self
    }

    /// Sets an open loop with a new connection after each `interval`.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.arrivals = Arrivals::Open { every: interval };
        self.keep_alive = false;
        self
    }

    /// With `true`, each client sends its requests on one connection. With `false`, it opens a new connection for each
    /// request, with `Connection: close`.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Sets the path and query.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// Ends after this number of requests, including failed ones.
    #[must_use]
    pub fn requests(mut self, requests: u64) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Ends after this time, even if requests remain.
    #[must_use]
    pub fn at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }

    /// Timeout after which a request counts as [`Kind::TimedOut`]. The default is 20 seconds.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Starts the load in a new thread.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is not on loopback, or if there are more than 1024 clients.
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
    /// Those of [`Load::start`].
    pub fn run(self) -> Result<Report> {
        self.start()?.finish()
    }
}
