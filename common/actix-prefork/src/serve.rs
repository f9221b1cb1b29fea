//! Serving threads: they accept from one listening socket, serve, and stop in steps.
//!
//! actix-web's own server accepts on a thread of its own. That thread goes on
//! accepting for a serving thread that is blocked, and a graceful stop drops
//! connections that were accepted and not yet handed over, and those of which the
//! request was not read yet. Here each serving thread accepts for itself: one that
//! is blocked accepts nothing, and what is not accepted stays in the kernel's
//! queue, for another thread or for the next process on the same socket.

use std::{
    io,
    sync::{
        Arc,
        atomic::{
            AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use actix_rt::Arbiter;
use actix_service::Service as _;
use actix_web::rt::{self, time};
use tokio::sync::{oneshot, watch};

use crate::{
    Error, Worker,
    activity::Activity,
    application::{Connections, Create, Stream},
    deaf,
    error::Context as _,
    heart::Heart,
    listener::Listener,
};

/// How long a keep-alive connection that is idle when the stop begins is kept
/// open, so that a request that is on its way still gets its answer.
const LINGER: Duration = Duration::from_secs(2);

/// How long the queue has to stay empty: a handshake that was under way when new
/// connections began to be ignored completes within a round trip.
const SETTLE: Duration = Duration::from_millis(100);

/// How often a condition that nothing announces is looked at.
const TICK: Duration = Duration::from_millis(5);

/// How long accepting rests when the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections more than its least busy sibling a thread takes before
/// it lets the others go first.
const SLACK: u32 = 8;

/// The steps of a thread's life, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Connections are accepted.
    Accept,
    /// Connections are accepted, and closed after the answer to their next request.
    AnnounceClose,
    /// Connections are no longer accepted.
    Finish,
    /// Connections that are idle are closed.
    CloseIdle,
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
    /// Starts `count` threads and waits until each has created the application.
    pub(crate) async fn start(
        worker: &Worker,
        creator: impl Fn() -> Box<Create>,
    ) -> Result<Self, Error> {
        let mut threads = Self {
            arbiters: Vec::new(),
            step: watch::Sender::new(Step::Accept),
            accepting: Arc::default(),
            activity: worker.activity,
        };
        let loads: Arc<[AtomicU32]> = (0..worker.threads).map(|_| AtomicU32::new(0)).collect();
        let heart = Heart::new(worker.threads, worker.activity);
        let mut started = Vec::new();
        for index in 0..worker.threads {
            let thread = Thread {
                listener: worker.listener.try_clone().context("share the socket")?,
                activity: worker.activity,
                heart: worker.beats.then(|| heart.clone()),
                step: threads.step.subscribe(),
                accepting: threads.accepting.clone(),
                loads: loads.clone(),
                index: index.into(),
            };
            let (ready, is_ready) = oneshot::channel();
            let create = creator();
            let arbiter = Arbiter::new();
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

/// Waits until the queue of the socket is empty and stays so, while the serving
/// threads go on accepting. Somebody has seen to it that nothing new comes in.
pub(crate) async fn empty_queue(listener: &Listener) {
    let mut empty_for = Duration::ZERO;
    while empty_for < SETTLE {
        time::sleep(TICK).await;
        match listener.queue_length() {
            Ok(0) => empty_for += TICK,
            Ok(_) => empty_for = Duration::ZERO,
            Err(error) => {
                log::warn!("cannot read the length of the accept queue: {error}");
                break;
            }
        }
    }
}

/// What one serving thread works with.
struct Thread {
    listener: Listener,
    activity: &'static Activity,
    /// Where somebody watches it.
    heart: Option<Heart>,
    step: watch::Receiver<Step>,
    accepting: Arc<AtomicU32>,
    /// Open connections of each thread.
    loads: Arc<[AtomicU32]>,
    index: usize,
}

impl Thread {
    /// Creates the application, says so, and serves for as long as the threads live.
    /// Where the application cannot be created, `ready` is dropped.
    async fn run(self, create: Box<Create>, ready: oneshot::Sender<()>) {
        let Ok(connections) = create(self.activity, self.step.clone()).await else {
            return log::error!("cannot create the application: its factory failed");
        };
        let listener = match self.listen() {
            Ok(listener) => listener,
            Err(error) => return log::error!("cannot watch the listening socket: {error}"),
        };
        if let Some(heart) = self.heart.clone() {
            heart.beat(self.index);
            rt::spawn(heart.keep_beating(self.index));
        }
        let _ = ready.send(());
        let mut step = self.step.clone();
        // The sender goes away when the threads are dropped, and then all is over.
        while step.wait_for(|step| *step < Step::Finish).await.is_ok() {
            // Announced before the step is looked at again: whoever tells the
            // threads to finish, and then finds that none accepts, can rely on it.
            self.accepting.fetch_add(1, SeqCst);
            tokio::select! {
                biased;
                () = reached(self.step.clone(), Step::Finish) => {}
                () = self.accept(&listener, &connections) => {}
            }
            self.accepting.fetch_sub(1, SeqCst);
        }
    }

    fn listen(&self) -> io::Result<Accept> {
        Ok(match self.listener.try_clone()? {
            Listener::Tcp(listener) => Accept::Tcp(rt::net::TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Accept::Unix(rt::net::UnixListener::from_std(listener)?),
        })
    }

    /// Accepts connections and serves each in a task of its own.
    async fn accept(&self, listener: &Accept, connections: &Connections) {
        let mut told = false;
        loop {
            match listener.accept().await {
                Ok(stream) => {
                    if std::mem::take(&mut told) {
                        log::info!("accepting connections again");
                    }
                    let open = self.activity.connection();
                    let load = Load::new(self.loads.clone(), self.index);
                    let connection = connections.call(stream);
                    rt::spawn(async move {
                        let _guards = (open, load);
                        // An error is the client's or the network's, and it was
                        // answered or the connection is gone.
                        let _ = connection.await;
                    });
                    // What was accepted is served before more is: a handler that
                    // blocks this thread then holds up no other connection.
                    tokio::task::yield_now().await;
                    self.let_siblings_go_first().await;
                }
                Err(error) if is_of_one_connection(&error) => {}
                // The port is closed, in all processes at once. The word to stop
                // is on its way.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return std::future::pending().await;
                }
                Err(error) => {
                    // Said once, since clients decide how often it happens.
                    if !std::mem::replace(&mut told, true) {
                        log::error!(
                            "cannot accept connections: {error}; retrying every \
                             {ACCEPT_PAUSE:?} (if too many files are open, raise `ulimit -n`)"
                        );
                    }
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Gives the other threads a moment where they have fewer connections: the
    /// kernel wakes all that wait for the socket, and the quickest would take all.
    async fn let_siblings_go_first(&self) {
        let load = |load: &AtomicU32| load.load(Relaxed);
        let least = self.loads.iter().map(load).min().unwrap_or_default();
        if load(&self.loads[self.index]) > least + SLACK {
            time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A listening socket as the runtime of a thread watches it.
enum Accept {
    Tcp(rt::net::TcpListener),
    Unix(rt::net::UnixListener),
}

impl Accept {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                deaf::hear(&stream, peer);
                Ok(Stream::Left(stream))
            }
            Self::Unix(listener) => Ok(Stream::Right(listener.accept().await?.0)),
        }
    }
}

/// Counts a connection of one thread for as long as it lives.
struct Load {
    loads: Arc<[AtomicU32]>,
    index: usize,
}

impl Load {
    fn new(loads: Arc<[AtomicU32]>, index: usize) -> Self {
        loads[index].fetch_add(1, Relaxed);
        Self { loads, index }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.loads[self.index].fetch_sub(1, Relaxed);
    }
}

/// Waits until the threads are told to go as far as `step`.
pub(crate) async fn reached(mut current: watch::Receiver<Step>, step: Step) {
    let _ = current.wait_for(|current| *current >= step).await;
}

/// Whether the next connection may be accepted all the same.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
