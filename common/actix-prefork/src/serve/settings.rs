//! What a worker gives its clients, and how its application sees the server.

use std::{any::Any, sync::Arc, time::Duration};

use actix_http::{Extensions, KeepAlive};
use actix_web::dev::AppConfig;

use crate::{Address, ServerOptions};

pub(crate) type OnConnect = dyn Fn(&dyn Any, &mut Extensions) + Send + Sync;

/// How long a client may keep a connection waiting. Zero is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Until the first request begins, and for the head of each.
    pub(crate) head: Duration,
    /// For the body of a request.
    pub(crate) body: Duration,
    /// For it to read what is sent to it.
    pub(crate) send: Duration,
}

/// The settings of [`Http`](crate::Http).
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) keep_alive: KeepAlive,
    pub(crate) timeouts: Timeouts,
    pub(crate) client_disconnect_timeout: Duration,
    pub(crate) h1_allow_half_closed: bool,
    pub(crate) max_connections: u32,
    /// In bytes.
    pub(crate) max_header_size: usize,
    pub(crate) backlog: u32,
    pub(crate) on_connect: Option<Arc<OnConnect>>,
    pub(crate) hostname: Option<String>,
    #[cfg(feature = "rustls-0_23")]
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
    #[cfg(feature = "rustls-0_23")]
    pub(crate) tls_handshake_timeout: Duration,
}

impl Settings {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            keep_alive: options.keep_alive.into(),
            timeouts: Timeouts {
                head: options.client_request_timeout,
                body: options.client_body_timeout,
                send: options.send_timeout,
            },
            client_disconnect_timeout: Duration::from_secs(1),
            h1_allow_half_closed: true,
            max_connections: options.max_connections,
            max_header_size: options.max_http_header_size as usize,
            backlog: options.backlog,
            on_connect: None,
            hostname: None,
            #[cfg(feature = "rustls-0_23")]
            tls: None,
            #[cfg(feature = "rustls-0_23")]
            tls_handshake_timeout: Duration::from_secs(3),
        }
    }

    fn is_secure(&self) -> bool {
        #[cfg(feature = "rustls-0_23")]
        return self.tls.is_some();
        #[cfg(not(feature = "rustls-0_23"))]
        return false;
    }

    /// What the application sees of the server, as with `HttpServer`.
    pub(crate) fn app_config(&self, address: &Address) -> AppConfig {
        // The only constructor that is public. actix's own test server uses it too.
        let config = |host: Option<String>, address: std::net::SocketAddr| {
            let host = host.unwrap_or_else(|| address.to_string());
            AppConfig::__priv_test_new(self.is_secure(), host, address)
        };
        match (address, &self.hostname) {
            (Address::Tcp(address), host) => config(host.clone(), *address),
            (Address::Unix(_), None) => AppConfig::default(),
            (Address::Unix(_), Some(host)) => {
                config(Some(host.clone()), AppConfig::default().local_addr())
            }
        }
    }
}
