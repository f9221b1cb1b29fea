//! What answers a scrape, on the application's port or on a port of its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    error::ErrorInternalServerError,
    http::{
        KeepAlive,
        header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING},
    },
    rt::System,
    web::{self, ServiceConfig},
};
use anyhow::Context as _;
use prometheus_exposition::{Format, Request};

/// Connections to a port of its own at most. Scrapers are few; others wait.
const MAX_CONNECTIONS: usize = 64;

/// Seconds that a scrape gets to finish when the port is closed.
const CLOSE_TIMEOUT: u64 = 1;

/// What answers a scrape.
///
/// ```
/// use actix_telemetry::pull::Exposition;
/// use actix_web::App;
///
/// let exposition = Exposition::new(|| Ok("up 1\n".to_owned()));
/// let app = App::new().configure(|app| exposition.configure(app));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct Exposition(Arc<dyn Fn(Format) -> anyhow::Result<String> + Send + Sync>);

impl Exposition {
    /// Answers with the text that `render` returns, in the format that the scraper asks
    /// for; see [`prometheus_exposition`] for the text. An error is logged and answered
    /// with 500.
    pub fn new(render: impl Fn() -> anyhow::Result<String> + Send + Sync + 'static) -> Self {
        Self::with_format(move |_| render())
    }

    /// Like [`Exposition::new`], for a text that depends on the format of the answer: only
    /// OpenMetrics has start times and exemplars.
    pub fn with_format(
        render: impl Fn(Format) -> anyhow::Result<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(render))
    }

    /// The text for a scraper that asks for no format, before names are rewritten for it.
    ///
    /// # Errors
    ///
    /// The error of `render`.
    pub fn text(&self) -> anyhow::Result<String> {
        (self.0)(Request::new(None, None, None).format)
    }

    /// Adds `GET` and `HEAD /metrics` to an application.
    pub fn configure(&self, app: &mut ServiceConfig) {
        app.service(
            web::resource("/metrics")
                .app_data(web::Data::new(self.clone()))
                .get(scrape)
                .head(scrape),
        );
    }

    /// Serves `/metrics` and nothing else on a socket that listens, in a thread of its
    /// own: it answers also while all serving threads are busy.
    ///
    /// # Errors
    ///
    /// If the system has no thread left or refuses the socket.
    pub fn listen(self, listeners: Vec<TcpListener>) -> anyhow::Result<MetricsPort> {
        let first = listeners
            .first()
            .context("there is no socket to listen on")?;
        let address = first.local_addr()?;
        let (started, is_started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("metrics".to_owned());
        let thread = thread.spawn(move || {
            System::new().block_on(async move {
                let server = self.server(listeners)?;
                // The other side waits for it.
                let _ = started.send(server.handle());
                server.await
            })
        })?;
        let server = is_started.recv();
        Ok(MetricsPort {
            address,
            server: server.context("the thread that serves /metrics did not start")?,
            thread: Some(thread),
        })
    }

    fn server(self, listeners: Vec<TcpListener>) -> io::Result<Server> {
        let app = move || App::new().configure(|app| self.configure(app));
        let mut server = HttpServer::new(app)
            .workers(1)
            .max_connections(MAX_CONNECTIONS)
            // Between two scrapes a connection would only be in the way of a stop.
            .keep_alive(KeepAlive::Disabled)
            .shutdown_timeout(CLOSE_TIMEOUT)
            .disable_signals();
        for listener in listeners {
            server = server.listen(listener)?;
        }
        Ok(server.run())
    }
}

async fn scrape(
    request: HttpRequest,
    exposition: web::Data<Exposition>,
) -> actix_web::Result<HttpResponse> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let query = Some(request.query_string());
    let wanted = Request::new(header(ACCEPT), header(ACCEPT_ENCODING), query);
    // Rendering takes a moment, in which the thread serves others.
    let answer = move || anyhow::Ok(wanted.answer((exposition.0)(wanted.format)?));
    let answer = web::block(answer).await?.map_err(|error| {
        log::error!("cannot answer a scrape of /metrics: {error:#}");
        ErrorInternalServerError("cannot read the metrics; see the log")
    })?;
    let mut response = HttpResponse::Ok();
    if let Some(encoding) = answer.content_encoding {
        response.insert_header((CONTENT_ENCODING, encoding));
    }
    let response = response.content_type(answer.content_type);
    Ok(response.body(answer.body))
}

/// The port of `/metrics`. Dropping it closes the port; a scrape gets a second to finish.
pub struct MetricsPort {
    address: SocketAddr,
    server: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl MetricsPort {
    /// The URL of `/metrics`.
    pub fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

impl Drop for MetricsPort {
    fn drop(&mut self) {
        // The command is sent at once; what is returned only waits for its end.
        drop(self.server.stop(true));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => log::warn!("the server of /metrics failed: {error}"),
            Some(Err(_)) => log::warn!("the server of /metrics panicked"),
            _ => {}
        }
    }
}
