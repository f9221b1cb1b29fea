//! The SDK's exporters, built from what the environment says.

use std::{mem, sync::LazyLock, thread};

use anyhow::{Context as _, anyhow};
use opentelemetry::Context;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig, WithTonicConfig};
use tokio::runtime::{self, Runtime};

use super::destination::{Destination, Protocol};

/// Where the gRPC exporters live. They need a runtime that goes on turning while the
/// thread that serves, or shuts down, waits for them.
///
/// Nothing is recorded on it: what an exporter logs while it exports would be
/// exported next.
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

impl Destination {
    /// Configures an exporter over HTTP.
    fn http<B: WithExportConfig + WithHttpConfig>(&self, builder: B) -> anyhow::Result<B> {
        let builder = builder
            .with_endpoint(self.endpoint.to_string())
            .with_timeout(self.timeout)
            .with_headers(self.headers.clone())
            .with_http_client(self.http_client()?);
        Ok(match self.compression {
            Some(compression) => builder.with_compression(compression),
            None => builder,
        })
    }

    /// A client of its own, since the SDK's has a proxy on the way even to this machine,
    /// and the certificate authorities of the machine alone.
    pub(super) fn http_client(&self) -> anyhow::Result<reqwest::blocking::Client> {
        let mut client = reqwest::blocking::Client::builder().timeout(self.timeout);
        if self.is_on_loopback() {
            client = client.no_proxy();
        }
        #[cfg(feature = "tls")]
        if self.endpoint.scheme_str() == Some("https") {
            client = self.tls.http(client)?;
        }
        // A blocking client has a runtime, which cannot be made inside of another one.
        let thread = thread::Builder::new().spawn(|| client.build())?;
        let client = thread.join();
        client
            .map_err(|_| anyhow!("the thread that builds the HTTP client panicked"))?
            .context("cannot build the HTTP client")
    }

    /// Configures an exporter over gRPC.
    fn grpc<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> B {
        let headers = (&self.headers).try_into().unwrap_or_default();
        let metadata =
            opentelemetry_otlp::tonic_types::metadata::MetadataMap::from_headers(headers);
        let mut builder = builder
            .with_endpoint(self.endpoint.to_string())
            .with_timeout(self.timeout)
            .with_metadata(metadata);
        #[cfg(feature = "tls")]
        if self.endpoint.scheme_str() == Some("https") {
            builder = builder.with_tls_config(self.tls.grpc());
        }
        if let Some(compression) = self.compression {
            builder = builder.with_compression(compression);
        }
        builder
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn metric_exporter(
        &self,
        temporality: opentelemetry_sdk::metrics::Temporality,
    ) -> Option<opentelemetry_otlp::MetricExporter> {
        let builder =
            || opentelemetry_otlp::MetricExporter::builder().with_temporality(temporality);
        self.build(
            || Ok(self.http(builder().with_http())?.build()?),
            || Ok(self.grpc(builder().with_tonic()).build()?),
        )
    }

    #[cfg(feature = "logs")]
    pub(crate) fn log_exporter(&self) -> Option<opentelemetry_otlp::LogExporter> {
        use opentelemetry_otlp::LogExporter;

        self.build(
            || Ok(self.http(LogExporter::builder().with_http())?.build()?),
            || Ok(self.grpc(LogExporter::builder().with_tonic()).build()?),
        )
    }

    #[cfg(feature = "traces")]
    pub(crate) fn span_exporter(&self) -> Option<opentelemetry_otlp::SpanExporter> {
        use opentelemetry_otlp::SpanExporter;

        self.build(
            || Ok(self.http(SpanExporter::builder().with_http())?.build()?),
            || Ok(self.grpc(SpanExporter::builder().with_tonic()).build()?),
        )
    }

    /// Builds an exporter inside the runtime that it needs.
    fn build<E>(
        &self,
        http: impl FnOnce() -> anyhow::Result<E>,
        grpc: impl FnOnce() -> anyhow::Result<E>,
    ) -> Option<E> {
        let built = match self.protocol {
            Protocol::HttpProtobuf => http(),
            Protocol::Grpc => match &*RUNTIME {
                Some(runtime) => {
                    let _inside = runtime.enter();
                    grpc()
                }
                None => return None,
            },
        };
        built
            .inspect_err(|error| {
                log::warn!(
                    "{} are not exported to {self}: {error:#}",
                    self.signal.plural()
                );
            })
            .ok()
    }
}
