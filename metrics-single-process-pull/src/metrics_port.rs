//! A port of its own for `/metrics`, and a thread of its own: it answers while the
//! threads that serve the application are all busy.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    http::KeepAlive,
    rt::System,
};
use anyhow::{Context as _, anyhow};
use common::workers;

use crate::exposition::Exposition;

/// Scrapers are few; whoever opens more connections waits.
const MAX_CONNECTIONS: usize = 64;

/// Seconds that a scrape gets to finish when the port is closed.
const CLOSE_TIMEOUT: u64 = 1;

/// The open port.
pub(crate) struct MetricsPort {
    address: SocketAddr,
    server: ServerHandle,
    thread: JoinHandle<io::Result<()>>,
}

impl MetricsPort {
    /// Listens, and serves `/metrics` and nothing else.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on, or there is no thread to be had.
    pub(crate) fn open(host: &str, port: u16, exposition: Exposition) -> anyhow::Result<Self> {
        let listener = listen(host, port)?;
        let address = listener.local_addr()?;
        let (started, is_started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("metrics".to_owned());
        let thread = thread.spawn(move || {
            System::new().block_on(async move {
                let server = server(listener, exposition)?;
                // Nobody waits for it only if `open` is gone already.
                let _ = started.send(server.handle());
                server.await
            })
        })?;
        let server = is_started
            .recv()
            .context("the thread that serves /metrics did not start")?;
        Ok(Self {
            address,
            server,
            thread,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port. A scrape that is under way gets a second to finish.
    pub(crate) async fn close(self) {
        self.server.stop(true).await;
        match self.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::warn!("the server of /metrics failed: {error}"),
            Err(_) => log::warn!("the server of /metrics panicked"),
        }
    }
}

fn listen(host: &str, port: u16) -> anyhow::Result<TcpListener> {
    workers::listen_beside(host, port).map_err(|error| {
        anyhow!(
            "cannot listen on {host}:{port} for /metrics: {error}; choose another port with \
             --metrics-port or METRICS_PORT (0 picks a free one)"
        )
    })
}

fn server(listener: TcpListener, exposition: Exposition) -> io::Result<Server> {
    let app = move || App::new().configure(|app| exposition.configure(app));
    let server = HttpServer::new(app)
        .workers(1)
        .max_connections(MAX_CONNECTIONS)
        // Between two scrapes a connection would only be in the way of a stop.
        .keep_alive(KeepAlive::Disabled)
        .shutdown_timeout(CLOSE_TIMEOUT)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}
