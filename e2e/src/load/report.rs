//! What became of the requests.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::http::Answer;

/// Failures kept with all they tell; those beyond are only counted.
const FAILURES: usize = 10_000;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 10 * 60 * 1_000_000;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The connection was refused, or reset before it was complete: the client knows that nothing was taken.
    Refused,
    /// The connection was complete and ended before its first byte of response: a lost request.
    Fresh,
    /// A connection that had answered before ended before the first byte of this response. A client may send the
    /// request again (RFC 9112, section 9.3.1) if it is idempotent; otherwise it is lost.
    Reused,
    /// The response began and did not end, or was no HTTP.
    Partial,
    /// Nothing came for as long as the client was willing to wait.
    TimedOut,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How.
    pub kind: Kind,
    /// The client's port; 0 if there never was a connection, or it was to a Unix domain socket.
    pub port: u16,
    /// The process that had answered before on the same connection.
    pub pid: Option<u32>,
    /// What the system said.
    pub reason: String,
}

/// The account of a load: every request is answered or has failed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Requests with a whole response.
    pub answered: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers by the process that says `Hello from PID!` in the body.
    pub pids: BTreeMap<u32, u64>,
    /// Connections that were complete.
    pub connections: u64,
    /// Failed requests by kind.
    pub failed: BTreeMap<Kind, u64>,
    /// The failed requests, the first 10,000 of them, without the refused ones.
    pub failures: Vec<Failure>,
    /// Connections that were complete although they were begun after another one had been refused.
    pub accepted_after_refusal: u64,
    /// Connections that the server reset after a whole response with `Connection: close`.
    pub unclean_closes: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// The longest time between an answer and the next one, to any client.
    pub longest_gap: Duration,
    last_answer: Option<Instant>,
    latencies: Histogram<u64>,
}

impl Report {
    pub(super) fn new() -> Self {
        // Bounds that are constants and allowed: three significant figures, from 1 to `LONGEST`.
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

    /// How many requests failed in this way.
    pub fn count(&self, kind: Kind) -> u64 {
        self.failed.get(&kind).copied().unwrap_or_default()
    }

    /// Requests that a server had taken, or may have taken, and did not answer: every failure but the refused ones.
    pub fn lost(&self) -> u64 {
        let lost = self
            .failed
            .iter()
            .filter(|(kind, _)| **kind != Kind::Refused);
        lost.map(|(_, count)| count).sum()
    }

    /// Requests that were answered or failed.
    pub fn total(&self) -> u64 {
        self.answered + self.failed.values().sum::<u64>()
    }

    /// The latency that this part of the answered requests, from 0 to 1, did not exceed.
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

/// The account in a few lines, for a person and for the message of a failed test.
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
