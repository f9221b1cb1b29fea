//! How a worker serves HTTP: the settings of actix-web's `HttpServer`.

use std::{any::Any, sync::Arc, time::Duration};

use actix_http::{Extensions, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory};
use actix_web::{body::MessageBody, dev::AppConfig};
use socket2::SockRef;

use crate::{
    Error, Worker,
    bind::BACKLOG,
    error::Context as _,
    serve::{Settings, application},
};

/// Serves an application in one worker; [`Worker::http`] creates it.
///
/// Its settings have the names that they have in
/// [`HttpServer`](actix_web::HttpServer), and begin with what the options of the
/// program say. Settings of the whole server, such as the port or the graceful timeout,
/// are options of the program only.
#[must_use = "nothing is served until it runs"]
pub struct Http<'a, F> {
    worker: &'a Worker,
    factory: F,
    settings: Settings,
}

impl Worker {
    /// Serves the application until the worker is stopped, and then drains: it
    /// returns when the last connection has finished or the graceful timeout is over.
    ///
    /// `factory` is called once on each serving thread, as with
    /// [`HttpServer::new`](actix_web::HttpServer::new). A graceful stop loses no
    /// request. While the worker drains, every response has `Connection: close`. A
    /// connection is closed after such a response, or after it has been idle for
    /// 2 seconds.
    ///
    /// # Errors
    ///
    /// Fails if `factory` fails or panics, or if the operating system refuses a thread
    /// or a file descriptor.
    pub async fn serve<F, I, S, B>(&self, factory: F) -> Result<(), Error>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: std::fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        S::Service: 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        self.http(factory).run().await
    }

    /// As [`serve`](Self::serve), with settings that `HttpServer` has too.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use actix_prefork::{Error, Worker};
    /// # use actix_web::{App, web};
    /// async fn serve(worker: Worker) -> Result<(), Error> {
    ///     let app = || App::new().route("/", web::get().to(|| async { "Hello" }));
    ///     worker.http(app).keep_alive(Duration::from_secs(10)).run().await
    /// }
    /// ```
    pub fn http<F>(&self, factory: F) -> Http<'_, F> {
        Http {
            worker: self,
            factory,
            settings: self.settings.clone(),
        }
    }
}

impl<F> Http<'_, F> {
    /// Sets how long an idle connection is kept open (`--keep-alive`).
    pub fn keep_alive(mut self, time: impl Into<KeepAlive>) -> Self {
        self.settings.keep_alive = time.into();
        self
    }

    /// Sets the time for the head of a request (`--client-request-timeout`); zero is no
    /// limit.
    pub fn client_request_timeout(mut self, time: Duration) -> Self {
        self.settings.timeouts.head = time;
        self
    }

    /// Sets how long a body may keep the service waiting (`--client-body-timeout`), not
    /// counting a second for each 500 bytes of it; zero is no limit.
    pub fn client_body_timeout(mut self, time: Duration) -> Self {
        self.settings.timeouts.body = time;
        self
    }

    /// Sets how long a client may keep a response waiting (`--send-timeout`), not counting
    /// a second for each 500 bytes of it; zero is no limit.
    pub fn send_timeout(mut self, time: Duration) -> Self {
        self.settings.timeouts.send = time;
        self
    }

    /// Sets how long the client may take to close a connection that the service has closed;
    /// 1 second by default, zero is no limit.
    pub fn client_disconnect_timeout(mut self, time: Duration) -> Self {
        self.settings.client_disconnect_timeout = time;
        self
    }

    /// Sets whether a request is served although the client has closed its side of the
    /// connection; `true` by default.
    pub fn h1_allow_half_closed(mut self, allow: bool) -> Self {
        self.settings.h1_allow_half_closed = allow;
        self
    }

    /// Sets the maximum number of connections of this worker (`--max-connections`).
    ///
    /// At the limit, connections that are idle are closed before a new one has to wait.
    pub fn max_connections(mut self, number: usize) -> Self {
        self.settings.max_connections = u32::try_from(number).unwrap_or(u32::MAX);
        self
    }

    /// Sets the maximum size of the head of a request in bytes (`--max-http-header-size`);
    /// a request with a larger one is answered with 431.
    pub fn max_http_header_size(mut self, bytes: usize) -> Self {
        self.settings.max_header_size = bytes;
        self
    }

    /// Sets the maximum number of connections that wait to be accepted (`--backlog`).
    pub fn backlog(mut self, number: u32) -> Self {
        self.settings.backlog = number;
        self
    }

    /// Calls `hook` for each connection before its first request. It gets the stream, which
    /// is a `TcpStream`, a `UnixStream` or a `TlsStream` of either, and the data that
    /// requests read with [`conn_data`](actix_web::HttpRequest::conn_data).
    pub fn on_connect(
        mut self,
        hook: impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.settings.on_connect = Some(Arc::new(hook));
        self
    }

    /// Sets the host name that the application sees in its configuration; by default it
    /// is the address.
    pub fn server_hostname(mut self, name: impl Into<String>) -> Self {
        self.settings.hostname = Some(name.into());
        self
    }

    /// Serves HTTPS, with HTTP/2 for clients that offer it.
    ///
    /// Build `config` in the worker: each new worker then reads the certificates again, so
    /// `HUP` renews them.
    #[cfg(feature = "rustls-0_23")]
    pub fn rustls_0_23(mut self, mut config: rustls::ServerConfig) -> Self {
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        self.settings.tls = Some(Arc::new(config).into());
        self
    }

    /// Sets how long a TLS handshake may take; 3 seconds by default.
    #[cfg(feature = "rustls-0_23")]
    pub fn tls_handshake_timeout(mut self, time: Duration) -> Self {
        self.settings.tls_handshake_timeout = time;
        self
    }

    /// Serves until the worker is stopped, and then drains, as [`Worker::serve`] says.
    ///
    /// # Errors
    ///
    /// Those of [`Worker::serve`].
    pub async fn run<I, S, B>(self) -> Result<(), Error>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: std::fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        S::Service: 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        let backlog = i32::try_from(self.settings.backlog).unwrap_or(i32::MAX);
        if backlog != BACKLOG {
            for listener in &*self.worker.shared.listeners {
                // To listen again changes nothing else.
                SockRef::from(listener)
                    .listen(backlog)
                    .context("set the length of the accept queue")?;
            }
        }
        let Self {
            worker,
            factory,
            settings,
        } = self;
        let config = settings.app_config(&worker.address()?);
        let creator = || application::creator(factory.clone(), config.clone(), settings.clone());
        worker.run_threads(&settings, creator).await
    }
}
