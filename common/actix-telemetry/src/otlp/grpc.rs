//! Calls of a collector over gRPC with requests that are encoded already.

use std::{error::Error as _, time::Duration};

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::{
    connect::RUNTIME,
    destination::Destination,
    retry::{Failed, Retry},
};

/// A client of the service of one signal.
pub(super) struct Grpc {
    client: tonic::client::Grpc<Channel>,
    method: PathAndQuery,
    metadata: MetadataMap,
}

impl Grpc {
    /// A client, which connects when it calls.
    pub(super) fn new(to: &Destination) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(to.endpoint.to_string())?;
        #[cfg(feature = "tls")]
        let endpoint = match to.endpoint.scheme_str() {
            Some("https") => endpoint.tls_config(to.tls.grpc())?,
            _ => endpoint,
        };
        let runtime = RUNTIME.as_ref().context("there is no thread for gRPC")?;
        let _inside = runtime.enter();
        let mut client = tonic::client::Grpc::new(endpoint.connect_lazy());
        if to.compression.is_some() {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        let headers = (&to.headers).try_into().unwrap_or_default();
        Ok(Self {
            client,
            method: PathAndQuery::from_static(to.signal.method()),
            metadata: MetadataMap::from_headers(headers),
        })
    }

    /// Calls the collector, and waits for the answer for at most `limit`. Not inside an async
    /// runtime.
    pub(super) fn export(&self, request: Bytes, limit: Duration) -> Result<Bytes, Failed> {
        let failed = |text| Failed {
            text,
            retry: Retry::AfterPause,
        };
        let Some(runtime) = &*RUNTIME else {
            return Err(failed("there is no thread for gRPC".to_owned()));
        };
        let call = async { timeout(limit, self.call(request)).await };
        let answer = runtime.block_on(call);
        answer.unwrap_or_else(|_| Err(failed("no answer in time".to_owned())))
    }

    async fn call(&self, request: Bytes) -> Result<Bytes, Failed> {
        let mut client = self.client.clone();
        client.ready().await.map_err(|error| Failed {
            text: format!("{:#}", anyhow::Error::from(error)),
            retry: Retry::AfterPause,
        })?;
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        let answer = client.unary(request, self.method.clone(), AsIs).await;
        Ok(answer.map_err(|status| failed(&status))?.into_inner())
    }
}

/// The text has no message of the collector, which may repeat a secret header.
fn failed(status: &Status) -> Failed {
    let mut text = format!("gRPC code {:?}", status.code());
    // Only a failure on this side has a source.
    let mut source = status.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Failed {
        text,
        retry: retry(status),
    }
}

/// Which codes are worth another attempt: <https://opentelemetry.io/docs/specs/otlp/#failures>.
fn retry(status: &Status) -> Retry {
    let wanted = status.get_details_retry_info();
    let wanted = wanted.and_then(|info| info.retry_delay);
    match (status.code(), wanted) {
        (Code::ResourceExhausted | Code::Unavailable, Some(wanted)) => Retry::AfterThrottle(wanted),
        (
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss,
            _,
        ) => Retry::AfterPause,
        _ => Retry::Never,
    }
}

/// Messages that are encoded already, or not decoded yet.
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
