//! The loops that send the requests.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    runtime,
    task::{JoinSet, LocalSet},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    Arrivals, Load,
    client::Client,
    report::{Failure, Kind, Report},
};
use crate::{http::Answer, poll::poll};

/// Pause after a refused connection. Connections to a stopped server fail at once, so without a pause clients would use
/// all CPU time.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);

/// A running load. Dropping it stops it.
pub struct Traffic {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Report>>>,
}

/// State shared by the test's thread and the load's thread.
#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

impl Traffic {
    pub(super) fn start(load: Load) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || run(load, theirs))
            .context("cannot start a thread for the load")?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Requests refused so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Requests that failed otherwise so far.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Waits until this number of further requests were answered.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed.
    pub fn wait_for_answers(&self, more: u64, within: Duration) -> Result<()> {
        let before = self.answered();
        poll(&format!("{more} more answers"), within, || {
            (self.answered() >= before + more).then_some(())
        })
        .with_context(|| format!("{} came", self.answered() - before))
    }

    /// Waits until there were as many refused connections as clients.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed.
    pub fn wait_for_refusals(&self, count: u64, within: Duration) -> Result<()> {
        poll(&format!("{count} refusals"), within, || {
            (self.refused() >= count).then_some(())
        })
        .with_context(|| format!("{} came", self.refused()))
    }

    /// Stops sending, waits for requests in progress, and returns the report.
    ///
    /// # Errors
    ///
    /// Returns an error if the load's thread failed.
    pub fn stop(self) -> Result<Report> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Waits until the load has ended by itself, and returns the report.
    ///
    /// # Errors
    ///
    /// Returns an error if the load's thread failed.
    pub fn finish(mut self) -> Result<Report> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report,
            Some(Err(_)) => bail!("the load's thread panicked"),
            None => bail!("the load has already ended"),
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

fn run(load: Load, shared: Arc<Shared>) -> Result<Report> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime for the load")?;
    let job = Rc::new(Job::new(load, shared));
    let began = Instant::now();
    LocalSet::new().block_on(&runtime, Rc::clone(&job).send());
    let mut report = job.report.replace(Report::new());
    report.elapsed = began.elapsed();
    Ok(report)
}

/// The state that all clients of a load share. They run on one thread.
struct Job {
    load: Load,
    request: Vec<u8>,
    shared: Arc<Shared>,
    end: Instant,
    left: Cell<u64>,
    refused: Cell<bool>,
    report: RefCell<Report>,
}

impl Job {
    fn new(load: Load, shared: Arc<Shared>) -> Self {
        let connection = if load.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        Self {
            request: format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: {connection}\r\n\r\n",
                load.path, load.address
            )
            .into_bytes(),
            end: Instant::now() + load.at_most,
            left: Cell::new(load.requests.unwrap_or(u64::MAX)),
            refused: Cell::new(false),
            report: RefCell::new(Report::new()),
            shared,
            load,
        }
    }

    async fn send(self: Rc<Self>) {
        let mut tasks = JoinSet::new();
        match self.load.arrivals {
            Arrivals::Closed { clients } => {
                for _ in 0..clients {
                    tasks.spawn_local(Rc::clone(&self).closed_loop());
                }
            }
            Arrivals::Open { every } => {
                let mut ticks = interval(every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
                while self.may_send() {
                    ticks.tick().await;
                    let job = Rc::clone(&self);
                    tasks.spawn_local(async move {
                        job.one(&mut None).await;
                    });
                    while tasks.try_join_next().is_some() {}
                }
            }
        }
        tasks.join_all().await;
    }

    /// Takes one of the remaining requests.
    fn may_send(&self) -> bool {
        let left = self.left.get();
        let stopped = self.shared.stopped.load(Ordering::Relaxed);
        if left == 0 || stopped || Instant::now() >= self.end {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    async fn closed_loop(self: Rc<Self>) {
        let mut client = None;
        while self.may_send() {
            if self.one(&mut client).await == Some(Kind::Refused) {
                sleep(AFTER_REFUSAL).await;
            }
        }
    }

    /// Sends one request, on the open connection if there is one, and records the outcome.
    async fn one(&self, open: &mut Option<Client>) -> Option<Kind> {
        let began = Instant::now();
        let deadline = began + self.load.patience;
        match self.try_one(open, deadline).await {
            Ok((client, answer)) => {
                self.report.borrow_mut().answer(answer, began.elapsed());
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                if self.load.keep_alive && !answer.closes {
                    *open = Some(client);
                } else if !client.closes_cleanly(deadline).await {
                    self.report.borrow_mut().unclean_closes += 1;
                }
                None
            }
            Err(failure) => {
                let kind = failure.kind;
                let refused = kind == Kind::Refused;
                self.refused.set(self.refused.get() || refused);
                let counter = if refused {
                    &self.shared.refused
                } else {
                    &self.shared.lost
                };
                counter.fetch_add(1, Ordering::Relaxed);
                self.report.borrow_mut().fail(failure);
                Some(kind)
            }
        }
    }

    async fn try_one(
        &self,
        open: &mut Option<Client>,
        deadline: Instant,
    ) -> Result<(Client, Answer), Failure> {
        let mut client = match open.take() {
            Some(client) => client,
            None => {
                let refused_before = self.refused.get();
                let client = Client::connect(&self.load.address, deadline).await?;
                let mut report = self.report.borrow_mut();
                report.connections += 1;
                report.accepted_after_refusal += u64::from(refused_before);
                client
            }
        };
        let answer = client.exchange(&self.request, deadline).await?;
        Ok((client, answer))
    }
}
