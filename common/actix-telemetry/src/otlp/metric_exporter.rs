//! The SDK's exporter of metrics, built from what the environment says.

use anyhow::Context as _;
use opentelemetry_otlp::{
    MetricExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::metrics::Temporality;
use tonic::metadata::MetadataMap;

use super::{
    connect::{RUNTIME, http_client},
    destination::{Compression, Destination, Protocol},
};

impl Destination {
    /// None if it cannot be built, after a warning.
    pub(crate) fn metric_exporter(&self, temporality: Temporality) -> Option<MetricExporter> {
        let exporter = match self.protocol {
            Protocol::HttpProtobuf => self.over_http(temporality),
            Protocol::Grpc => self.over_grpc(temporality),
        };
        exporter
            .inspect_err(|error| log::warn!("metrics are not exported to {self}: {error:#}"))
            .ok()
    }

    fn over_http(&self, temporality: Temporality) -> anyhow::Result<MetricExporter> {
        let mut builder = MetricExporter::builder()
            .with_temporality(temporality)
            .with_http()
            .with_endpoint(self.endpoint.to_string())
            .with_timeout(self.timeout)
            .with_headers(self.headers.clone())
            // The SDK's own has a proxy on the way even to this machine, and the certificate
            // authorities of the machine alone.
            .with_http_client(http_client(self)?);
        if let Some(compression) = self.compression {
            builder = builder.with_compression(compression.into());
        }
        Ok(builder.build()?)
    }

    fn over_grpc(&self, temporality: Temporality) -> anyhow::Result<MetricExporter> {
        let headers = (&self.headers).try_into().unwrap_or_default();
        let mut builder = MetricExporter::builder()
            .with_temporality(temporality)
            .with_tonic()
            .with_endpoint(self.endpoint.to_string())
            .with_timeout(self.timeout)
            .with_metadata(MetadataMap::from_headers(headers));
        #[cfg(feature = "tls")]
        if self.endpoint.scheme_str() == Some("https") {
            builder = builder.with_tls_config(self.tls.grpc());
        }
        if let Some(compression) = self.compression {
            builder = builder.with_compression(compression.into());
        }
        let runtime = RUNTIME.as_ref().context("there is no thread for gRPC")?;
        let _inside = runtime.enter();
        Ok(builder.build()?)
    }
}

impl From<Compression> for opentelemetry_otlp::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Gzip,
        }
    }
}
