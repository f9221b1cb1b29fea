//! Starting and stopping: two listeners, a thread that receives, a thread that prints.

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
/// It lives on threads of its own, so the caller needs no async runtime, and it installs no signal
/// handler. Dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    grpc: SocketAddr,
    http: SocketAddr,
    intake: Arc<Intake>,
    stop: watch::Sender<bool>,
    receiver: Mutex<Option<JoinHandle<()>>>,
}

impl Collector {
    /// Binds both addresses and returns when both accept connections.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on, or when there is no thread to be had.
    pub fn start(config: Config) -> Result<Self, Error> {
        let (grpc_listener, grpc) = listen("gRPC", config.grpc)?;
        let (http_listener, http) = listen("HTTP", config.http)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let listeners = {
            let _guard = runtime.enter();
            Listeners::new(grpc_listener, http_listener).map_err(Error::Threads)?
        };
        let intake = Arc::new(Intake::new(config).map_err(Error::Threads)?);
        let (stop, stopped) = watch::channel(false);
        let served = Arc::clone(&intake);
        let receiver = thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || runtime.block_on(server::serve(listeners, served, stopped)))
            .map_err(Error::Threads)?;
        Ok(Self {
            grpc,
            http,
            intake,
            stop,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    /// Where OTLP over gRPC is received, with the real port.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// Where OTLP over HTTP is received, with the real port.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// What has arrived so far.
    pub fn received(&self) -> Received {
        self.intake.received()
    }

    /// Pretends a failure from now on, or ends one.
    pub fn set_fault(&self, fault: Fault) {
        self.intake.set_fault(fault);
    }

    /// Stops receiving, frees both ports and ends the threads.
    ///
    /// Requests that are being received are answered and printed first, and so are traces that
    /// were still waiting for more spans; a client that stalls is cut off after five seconds.
    /// Stopping twice does nothing the second time.
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
            log::error!("the collector's thread has panicked; what arrived last may be missing");
        }
        self.intake.finish();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A non-blocking listener and its real address.
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
