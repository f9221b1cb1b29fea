//! Starts and stops the collector: two listeners, a receiving thread and a printing thread.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::{runtime, sync::watch};

use crate::{
    Config, Error, Fault, Received,
    intake::Intake,
    server::{self, Listeners},
};

/// A running OTLP receiver.
///
/// It runs on its own threads, so the caller needs no async runtime. It installs no signal
/// handlers. Dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    grpc: SocketAddr,
    http: SocketAddr,
    view: SocketAddr,
    intake: Arc<Intake>,
    stop: watch::Sender<bool>,
    receiver: Mutex<Option<JoinHandle<()>>>,
}

impl Collector {
    /// Binds both addresses and returns when both accept connections.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot listen on an address or cannot start its threads.
    pub fn start(mut config: Config) -> Result<Self, Error> {
        let (grpc_listener, grpc) = listen("gRPC", config.grpc)?;
        let (http_listener, http) = listen("HTTP", config.http)?;
        let more = config.view_address.map(|address| listen("HTTP", address));
        let more = more.and_then(Result::ok);
        let view = more.as_ref().map_or(http, |(_, address)| *address);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let listeners = {
            let _guard = runtime.enter();
            Listeners::new(
                grpc_listener,
                http_listener,
                more.map(|(listener, _)| listener),
            )
            .map_err(Error::Threads)?
        };
        let scrapes = std::mem::take(&mut config.scrape);
        let intake = Arc::new(Intake::new(config, view, grpc).map_err(Error::Threads)?);
        let (stop, stopped) = watch::channel(false);
        let served = Arc::clone(&intake);
        let receiver = thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || runtime.block_on(server::serve(listeners, scrapes, served, stopped)))
            .map_err(Error::Threads)?;
        Ok(Self {
            grpc,
            http,
            view,
            intake,
            stop,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// The address for OTLP over gRPC, with the actual port.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// The address for OTLP over HTTP, with the actual port.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The address for the live view: that of [`Config::view_address`] if it was free, else
    /// [`Self::http_addr`].
    pub fn view_addr(&self) -> SocketAddr {
        self.view
    }

    /// A snapshot of everything received so far.
    pub fn received(&self) -> Received {
        self.intake.received()
    }

    /// Starts simulating a failure, or stops it with [`Fault::None`].
    pub fn set_fault(&self, fault: Fault) {
        self.intake.set_fault(fault);
    }

    /// Stops receiving, frees both ports and ends the threads.
    ///
    /// It first answers and prints requests in progress, and prints incomplete traces. A client
    /// that stalls is disconnected after five seconds. A second call does nothing.
    pub fn stop(&self) {
        let receiver = self
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(receiver) = receiver else { return };
        self.stop.send_replace(true);
        self.intake.end_hang();
        if receiver.join().is_err() {
            log::error!("the collector's thread panicked, the last requests may be missing");
        }
        self.intake.finish();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds a non-blocking listener. Returns it with its actual address.
fn listen(protocol: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bind = || -> io::Result<_> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let actual = listener.local_addr()?;
        Ok((listener, actual))
    };
    bind().map_err(|source| Error::Listen {
        protocol,
        address,
        source,
    })
}
