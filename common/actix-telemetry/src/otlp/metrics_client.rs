//! Sends requests that the SDK cannot make: its exporters take the data of its own readers alone.

use std::io::Write as _;

use actix_web::rt::time::timeout;
use anyhow::{Context as _, bail};
use flate2::{Compression as Level, write::GzEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_client::MetricsServiceClient,
};
use prost::Message as _;
use reqwest::blocking::Client;
use tonic::{
    Request, Status,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use super::{
    client::RUNTIME,
    destination::{Destination, Protocol},
};

/// Sends metrics to a collector.
pub(crate) struct MetricsClient {
    to: Destination,
    client: Kind,
}

enum Kind {
    Http(Client),
    Grpc(MetricsServiceClient<Channel>),
}

impl MetricsClient {
    /// A client, which connects when it sends.
    pub(crate) fn new(to: Destination) -> anyhow::Result<Self> {
        let client = match to.protocol {
            Protocol::HttpProtobuf => Kind::Http(to.http_client()?),
            Protocol::Grpc => Kind::Grpc(grpc(&to)?),
        };
        Ok(Self { to, client })
    }

    /// Where it sends to.
    pub(crate) fn destination(&self) -> &Destination {
        &self.to
    }

    /// Sends a request and waits for the answer, within the timeout of the destination. Not
    /// inside an async runtime.
    pub(crate) fn send(&self, request: ExportMetricsServiceRequest) -> anyhow::Result<()> {
        let answer = match &self.client {
            Kind::Http(client) => self.post(client, &request)?,
            Kind::Grpc(client) => self.call(client.clone(), request)?,
        };
        match answer.partial_success {
            Some(partial) if partial.rejected_data_points > 0 => bail!(
                "the collector refused {} data points: {}",
                partial.rejected_data_points,
                partial.error_message
            ),
            _ => Ok(()),
        }
    }

    fn post(
        &self,
        client: &Client,
        request: &ExportMetricsServiceRequest,
    ) -> anyhow::Result<ExportMetricsServiceResponse> {
        let mut body = request.encode_to_vec();
        let mut post = client.post(self.to.endpoint.to_string());
        for (name, value) in &self.to.headers {
            post = post.header(name, value);
        }
        if self.to.compression.is_some() {
            let mut gzip = GzEncoder::new(Vec::new(), Level::default());
            gzip.write_all(&body)?;
            body = gzip.finish()?;
            post = post.header(CONTENT_ENCODING, "gzip");
        }
        let post = post
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(body);
        // The URL may hold a secret.
        let answer = post.send().and_then(|answer| answer.error_for_status());
        let answer = answer.and_then(|answer| answer.bytes());
        let answer = answer.map_err(reqwest::Error::without_url)?;
        Ok(ExportMetricsServiceResponse::decode(answer)?)
    }

    fn call(
        &self,
        mut client: MetricsServiceClient<Channel>,
        request: ExportMetricsServiceRequest,
    ) -> anyhow::Result<ExportMetricsServiceResponse> {
        let mut request = Request::new(request);
        let headers = (&self.to.headers).try_into().unwrap_or_default();
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let runtime = RUNTIME.as_ref().context("there is no thread for gRPC")?;
        let answer = runtime.block_on(async {
            let call = timeout(self.to.timeout, client.export(request));
            call.await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))
        });
        let failed = |status: Status| anyhow::anyhow!("{}: {}", status.code(), status.message());
        Ok(answer.map_err(failed)?.into_inner())
    }
}

fn grpc(to: &Destination) -> anyhow::Result<MetricsServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(to.endpoint.to_string())?;
    #[cfg(feature = "tls")]
    let endpoint = match to.endpoint.scheme_str() {
        Some("https") => endpoint.tls_config(to.tls.grpc())?,
        _ => endpoint,
    };
    let runtime = RUNTIME.as_ref().context("there is no thread for gRPC")?;
    let _inside = runtime.enter();
    let client = MetricsServiceClient::new(endpoint.connect_lazy());
    Ok(match to.compression {
        Some(_) => client.send_compressed(CompressionEncoding::Gzip),
        None => client,
    })
}
