//! Serving threads: they accept from one listening socket, serve, and stop in steps.
//!
//! actix-web's own server accepts on a thread of its own. That thread goes on
//! accepting for a serving thread that is blocked, and a graceful stop drops
//! connections that were accepted and not yet handed over, and those of which the
//! request was not read yet. Here each serving thread accepts for itself: one that
//! is blocked accepts nothing, and what is not accepted stays in the kernel's
//! queue, for another thread or for the next process on the same socket.

pub(crate) mod application;
mod body;
mod connection;
mod exchange;
pub(crate) mod heart;
mod patience;
mod registry;
mod settings;
mod stream;
mod thread;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_rt::Arbiter;
use actix_web::rt::{self, time};
use tokio::sync::{oneshot, watch};

pub(crate) use self::settings::Settings;
use self::{application::Create, heart::Heart, thread::Thread};
use crate::{
    Error,
    activity::Activity,
    descriptors,
    error::Context as _,
    listener::{self, Listener},
};

/// How long a keep-alive connection that is idle when the stop begins is kept
/// open, so that a request that is on its way still gets its answer.
const LINGER: Duration = Duration::from_secs(2);

/// How long the queue has to stay empty: a handshake that was under way when new
/// connections began to be ignored completes within a round trip.
const SETTLE: Duration = Duration::from_millis(100);

/// How often a condition that nothing announces is looked at.
const TICK: Duration = Duration::from_millis(5);

/// The steps of a thread's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The application is being created.
    Boot,
    /// Connections are accepted.
    Accept,
    /// Connections are accepted, and closed after the answer to their next request.
    AnnounceClose,
    /// Connections are no longer accepted.
    Finish,
    /// Connections that are idle are closed.
    CloseIdle,
}

/// What the threads of a process share.
pub(crate) struct Shared {
    /// One for each address.
    pub(crate) listeners: Arc<[Listener]>,
    /// The number of threads.
    pub(crate) threads: u16,
    pub(crate) activity: &'static Activity,
    /// Whether somebody watches the heartbeat of the threads.
    pub(crate) beats: bool,
}

/// The threads that serve.
pub(crate) struct Threads {
    arbiters: Vec<Arbiter>,
    step: watch::Sender<Step>,
    /// Threads that may be about to accept a connection, which is not counted yet.
    accepting: Arc<AtomicU32>,
    activity: &'static Activity,
}

impl Threads {
    /// Starts the threads and waits until each has created the application.
    pub(crate) async fn start(
        shared: &Shared,
        settings: &Settings,
        creator: impl Fn() -> Box<Create>,
    ) -> Result<Self, Error> {
        let mut threads = Self {
            arbiters: Vec::new(),
            step: watch::Sender::new(Step::Boot),
            accepting: Arc::default(),
            activity: shared.activity,
        };
        let loads: Arc<[AtomicU32]> = (0..shared.threads).map(|_| AtomicU32::new(0)).collect();
        let heart = Heart::new(shared.threads, shared.activity);
        let mut started = Vec::new();
        for index in 0..shared.threads {
            let thread = Thread {
                listeners: shared.listeners.clone(),
                activity: shared.activity,
                heart: shared.beats.then(|| heart.clone()),
                step: threads.step.subscribe(),
                accepting: threads.accepting.clone(),
                loads: loads.clone(),
                index: index.into(),
                max_connections: settings.max_connections.min(descriptors::max_connections()),
                max_header_size: settings.max_header_size,
            };
            let (ready, is_ready) = oneshot::channel();
            let create = creator();
            let arbiter = Arbiter::try_new().context("start a serving thread")?;
            arbiter.spawn_fn(move || {
                rt::spawn(thread.run(create, ready));
            });
            threads.arbiters.push(arbiter);
            started.push(is_ready);
        }
        for (thread, is_ready) in (0..).zip(started) {
            let failed = |_| Error::Application { thread };
            is_ready.await.map_err(failed)?;
        }
        Ok(threads)
    }

    /// Begins to accept. The master knows by then that the worker is ready: it must not
    /// take one that serves for one that boots.
    pub(crate) fn accept(&self) {
        self.step.send_replace(Step::Accept);
    }

    pub(crate) fn announce_close(&self) {
        self.step.send_replace(Step::AnnounceClose);
    }

    pub(crate) fn stop_accepting(&self) {
        self.step.send_replace(Step::Finish);
    }

    /// Waits for the last connection, of which idle ones get a moment more.
    pub(crate) async fn finish_connections(&self) {
        let finished = async {
            // In this order: a connection is counted before its thread says that
            // it accepts no more.
            while self.accepting.load(SeqCst) > 0 || self.activity.connections() > 0 {
                time::sleep(TICK).await;
            }
        };
        tokio::pin!(finished);
        if time::timeout(LINGER, &mut finished).await.is_err() {
            self.step.send_replace(Step::CloseIdle);
            finished.await;
        }
    }
}

impl Drop for Threads {
    /// Closes what is still open.
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Waits until the queues of the sockets are empty and stay so, while the serving
/// threads go on accepting. Somebody has seen to it that nothing new comes in.
pub(crate) async fn empty_queue(listeners: &[Listener]) {
    let mut empty_for = Duration::ZERO;
    while empty_for < SETTLE {
        time::sleep(TICK).await;
        match listener::queued(listeners) {
            Ok(0) => empty_for += TICK,
            Ok(_) => empty_for = Duration::ZERO,
            Err(error) => {
                log::warn!("cannot read the length of the accept queue: {error}");
                break;
            }
        }
    }
}

/// Waits until the threads are told to go as far as `step`.
async fn reached(mut current: watch::Receiver<Step>, step: Step) {
    let _ = current.wait_for(|current| *current >= step).await;
}
