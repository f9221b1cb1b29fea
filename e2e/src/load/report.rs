//! The outcome of all requests.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::http::Answer;

/// Maximum number of failures kept with details. Further ones are only counted.
const FAILURES: usize = 10_000;

/// Maximum recorded latency in microseconds.
const LONGEST: u64 = 10 * 60 * 1_000_000;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The connection was refused, or reset before it was established. The server has not seen the request.
    Refused,
    /// A new connection ended before the first byte of its response: a lost request.
    Fresh,
    /// A reused connection ended before the first byte of this response. A client may retry an idempotent request
    /// (RFC 9112, section 9.3.1); other requests are lost.
    Reused,
    /// The response was incomplete or not HTTP.
    Partial,
    /// The response did not arrive within the timeout.
    TimedOut,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The kind of failure.
    pub kind: Kind,
    /// The client's port. 0 without a connection, or for a Unix domain socket.
    pub port: u16,
    /// The process that answered earlier on the same connection.
    pub pid: Option<u32>,
    /// The error of the operating system.
    pub reason: String,
}

/// The result of a load. Every request was answered or has failed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests with a complete response.
    pub answered: u64,
    /// Number of responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Number of responses by the pid in the body `Hello from PID!`.
    pub pids: BTreeMap<u32, u64>,
    /// Established connections.
    pub connections: u64,
    /// Failed requests by kind.
    pub failed: BTreeMap<Kind, u64>,
    /// The first 10,000 failed requests, without refused ones.
    pub failures: Vec<Failure>,
    /// Connections that succeeded after another one had been refused.
    pub accepted_after_refusal: u64,
    /// Connections that the server reset after a complete response with `Connection: close`.
    pub unclean_closes: u64,
    /// Time from the first request to the last response.
    pub elapsed: Duration,
    /// The longest time without a response to any client.
    pub longest_gap: Duration,
    last_answer: Option<Instant>,
    latencies: Histogram<u64>,
}

impl Report {
    pub(super) fn new() -> Self {
        // Cannot fail: the bounds are constant and valid.
        let latencies = Histogram::new_with_max(LONGEST, 3).expect("the bounds are valid");
        Self {
            answered: 0,
            statuses: BTreeMap::new(),
            pids: BTreeMap::new(),
            connections: 0,
            failed: BTreeMap::new(),
            failures: Vec::new(),
            accepted_after_refusal: 0,
            unclean_closes: 0,
            elapsed: Duration::ZERO,
            longest_gap: Duration::ZERO,
            last_answer: None,
            latencies,
        }
    }

    pub(super) fn answer(&mut self, answer: Answer, latency: Duration) {
        self.answered += 1;
        let now = Instant::now();
        if let Some(last) = self.last_answer.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        *self.statuses.entry(answer.status).or_default() += 1;
        if let Some(pid) = answer.pid {
            *self.pids.entry(pid).or_default() += 1;
        }
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
        self.latencies.saturating_record(micros);
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        *self.failed.entry(failure.kind).or_default() += 1;
        if failure.kind != Kind::Refused && self.failures.len() < FAILURES {
            self.failures.push(failure);
        }
    }

    /// Number of failures of this kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.failed.get(&kind).copied().unwrap_or_default()
    }

    /// Requests that a server may have accepted but did not answer: all failures except refused connections.
    pub fn lost(&self) -> u64 {
        let lost = self
            .failed
            .iter()
            .filter(|(kind, _)| **kind != Kind::Refused);
        lost.map(|(_, count)| count).sum()
    }

    /// Number of all requests, answered or failed.
    pub fn total(&self) -> u64 {
        self.answered + self.failed.values().sum::<u64>()
    }

    /// The quantile of the latency of answered requests, with `part` from 0 to 1.
    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(part))
    }

    /// The longest latency of an answered request.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.latencies.max())
    }

    /// Answered requests per second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// A summary in a few lines, for the terminal and for the message of a failed test.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} answered on {} connections in {:.2?} ({:.0}/s), by status {:?}, by process {:?}",
            self.answered,
            self.connections,
            self.elapsed,
            self.rate(),
            self.statuses,
            self.pids,
        )?;
        writeln!(
            formatter,
            "latency p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?}",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
            self.max(),
        )?;
        write!(
            formatter,
            "failed {:?}; {} accepted after a refusal, {} closed uncleanly",
            self.failed, self.accepted_after_refusal, self.unclean_closes
        )?;
        for failure in self.failures.iter().take(10) {
            write!(formatter, "\n  {failure:?}")?;
        }
        Ok(())
    }
}
