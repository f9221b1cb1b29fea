//! What the exporters connect with.

use std::{mem, sync::LazyLock, thread};

use anyhow::{Context as _, anyhow};
use opentelemetry::Context;
use reqwest::blocking::Client;
use tokio::runtime::{self, Runtime};

use super::destination::Destination;

/// Where gRPC clients live. They need a runtime that goes on turning while the thread
/// that serves, or shuts down, waits for them.
///
/// Nothing is recorded on it: what is logged during an export would be exported next.
pub(super) static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("telemetry")
        // The scope is never left, since the thread has no other purpose.
        .on_thread_start(|| mem::forget(Context::enter_telemetry_suppressed_scope()))
        .enable_all()
        .build();
    runtime
        .inspect_err(|error| log::warn!("cannot start the thread of the gRPC exporter: {error}"))
        .ok()
});

/// A client for HTTP, which connects when it posts. It asks no proxy on the way to this machine, and
/// trusts what the variables name.
pub(super) fn http_client(to: &Destination) -> anyhow::Result<Client> {
    let mut client = Client::builder().timeout(to.timeout);
    if to.is_on_loopback() {
        client = client.no_proxy();
    }
    #[cfg(feature = "tls")]
    if to.endpoint.scheme_str() == Some("https") {
        client = to.tls.http(client)?;
    }
    // A blocking client has a runtime, which cannot be made inside of another one.
    let thread = thread::Builder::new().spawn(|| client.build())?;
    let client = thread.join();
    client
        .map_err(|_| anyhow!("the thread that builds the HTTP client panicked"))?
        .context("cannot build the HTTP client")
}
