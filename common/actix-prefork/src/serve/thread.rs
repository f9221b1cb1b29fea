//! One serving thread: it accepts from the listening socket and serves what it accepts.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{
            AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll},
    time::Duration,
};

use actix_service::Service as _;
use actix_web::rt::{self, time};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{oneshot, watch},
};
use tokio_util::either::Either;

use super::{
    Step, TICK,
    application::{Accepted, Connections, Create},
    exchange::Exchange,
    heart::Heart,
    reached,
    registry::Registry,
    stream::{self, Socket},
};
use crate::{
    activity::Activity,
    deaf,
    listener::{self, Listener},
};

/// How long accepting rests when the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections more than its least busy sibling a thread takes before
/// it lets the others go first.
const SLACK: u32 = 8;

/// What one serving thread works with.
pub(super) struct Thread {
    pub(super) listeners: Arc<[Listener]>,
    pub(super) activity: &'static Activity,
    /// Where somebody watches it.
    pub(super) heart: Option<Heart>,
    pub(super) step: watch::Receiver<Step>,
    pub(super) accepting: Arc<AtomicU32>,
    /// Open connections of each thread.
    pub(super) loads: Arc<[AtomicU32]>,
    pub(super) index: usize,
    /// The most connections that the process may have open.
    pub(super) max_connections: u32,
    /// The most bytes that the head of a request may have.
    pub(super) max_header_size: usize,
}

impl Thread {
    /// Creates the application, says so, and serves for as long as the threads live.
    /// Where the application cannot be created, `ready` is dropped.
    pub(super) async fn run(self, create: Box<Create>, ready: oneshot::Sender<()>) {
        let Ok(connections) = create(self.activity, self.step.clone()).await else {
            return log::error!("cannot create the application: its factory failed");
        };
        let listeners = match self.listen() {
            Ok(listeners) => listeners,
            Err(error) => return log::error!("cannot watch the listening sockets: {error}"),
        };
        if let Some(heart) = &self.heart {
            heart.beat(self.index);
        }
        let _ = ready.send(());
        let registry = Registry::default();
        tokio::join!(
            self.accept_until_told(&listeners, &connections, &registry),
            self.close_connections(&registry),
            // Here and not in a task of its own, so that it ends with the others.
            self.beat(),
        );
    }

    fn listen(&self) -> io::Result<Accept> {
        let watch = |listener: &Listener| {
            Ok(match listener.try_clone()? {
                Listener::Tcp(listener) => Either::Left(TcpListener::from_std(listener)?),
                Listener::Unix(listener) => Either::Right(UnixListener::from_std(listener)?),
            })
        };
        Ok(Accept {
            listeners: self
                .listeners
                .iter()
                .map(watch)
                .collect::<io::Result<_>>()?,
            next: Cell::new(0),
        })
    }

    async fn beat(&self) {
        if let Some(heart) = &self.heart {
            heart.keep_beating(self.index).await;
        }
    }

    /// Does with the open connections what each step asks for.
    async fn close_connections(&self, registry: &Registry) {
        reached(self.step.clone(), Step::AnnounceClose).await;
        registry.hear();
        reached(self.step.clone(), Step::CloseIdle).await;
        registry.close_idle();
    }

    async fn accept_until_told(
        &self,
        listeners: &Accept,
        connections: &Connections,
        registry: &Registry,
    ) {
        let mut step = self.step.clone();
        // The sender goes away when the threads are dropped, and then all is over.
        let accepts = |step: &Step| (Step::Accept..Step::Finish).contains(step);
        while step.wait_for(accepts).await.is_ok() {
            // Announced before the step is looked at again: whoever tells the
            // threads to finish, and then finds that none accepts, can rely on it.
            self.accepting.fetch_add(1, SeqCst);
            tokio::select! {
                biased;
                () = reached(self.step.clone(), Step::Finish) => {}
                () = self.accept(listeners, connections, registry) => {}
            }
            self.accepting.fetch_sub(1, SeqCst);
        }
    }

    /// Accepts connections and serves each in a task of its own.
    async fn accept(&self, listeners: &Accept, connections: &Connections, registry: &Registry) {
        let mut told = false;
        loop {
            self.make_room(registry).await;
            match poll_fn(|cx| listeners.poll_accept(cx)).await {
                Ok(socket) => {
                    if std::mem::take(&mut told) {
                        log::info!("accepting connections again");
                    }
                    self.serve(socket, connections, registry).await;
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
                    let has_closed_one = registry.close_longest_idle(1) > 0;
                    self.activity.set_full(!has_closed_one);
                    let pause = if has_closed_one { TICK } else { ACCEPT_PAUSE };
                    time::sleep(pause).await;
                }
            }
        }
    }

    /// Waits until there may be one more connection. Whoever is idle has to go before
    /// anybody is kept waiting.
    async fn make_room(&self, registry: &Registry) {
        let room = || {
            self.max_connections
                .saturating_sub(self.activity.connections())
        };
        // Said before the last place is taken, so that nobody comes here to wait.
        self.activity.set_full(room() <= 1 && !registry.has_idle());
        while room() == 0 {
            let somebody_waits = listener::queued(&*self.listeners).is_ok_and(|length| length > 0);
            if somebody_waits {
                registry.close_longest_idle(1);
            }
            self.activity.set_full(!registry.has_idle());
            time::sleep(TICK).await;
        }
    }

    async fn serve(&self, socket: Socket, connections: &Connections, registry: &Registry) {
        // An application that is not ready for more leaves it in the queue, and one that
        // has failed answers what it is asked.
        let _ = poll_fn(|cx| connections.poll_ready(cx)).await;
        let open = self.activity.connection();
        let load = Load::new(self.loads.clone(), self.index);
        let descriptor = stream::descriptor(&socket);
        if *self.step.borrow() >= Step::AnnounceClose {
            deaf::hear(descriptor);
        }
        let exchange = Exchange::new(self.max_header_size);
        let registered = registry.register(descriptor, exchange.clone());
        let connection = connections.call(Accepted { socket, exchange });
        rt::spawn(async move {
            let _guards = (open, load, registered);
            // An error is the client's or the network's, and it was answered or the
            // connection is gone.
            let _ = connection.await;
        });
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

/// The listening sockets as the runtime of a thread watches them.
struct Accept {
    listeners: Vec<Either<TcpListener, UnixListener>>,
    /// The one that is looked at first, each in turn.
    next: Cell<usize>,
}

impl Accept {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let first = self
            .next
            .replace((self.next.get() + 1) % self.listeners.len());
        let (before, after) = self.listeners.split_at(first);
        let mut accepted = after.iter().chain(before).map(|listener| match listener {
            Either::Left(tcp) => tcp
                .poll_accept(cx)
                .map_ok(|(socket, _)| Either::Left(socket)),
            Either::Right(unix) => unix
                .poll_accept(cx)
                .map_ok(|(socket, _)| Either::Right(socket)),
        });
        accepted.find(Poll::is_ready).unwrap_or(Poll::Pending)
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

/// Whether the next connection may be accepted all the same.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
