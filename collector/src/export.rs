//! The three signals and their export requests.

use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    },
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::{DecodeError, Message};
use serde_json::Value;

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Measurements, as sums, gauges and histograms.
    Metrics,
    /// Log records.
    Logs,
    /// Spans.
    Traces,
}

impl Signal {
    pub(crate) const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// The name in OTLP paths and in printed text: `metrics`, `logs`, `traces`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// The name within `OTEL_*` variables: `METRICS`, `LOGS`, `TRACES`.
    pub(crate) fn variable_part(self) -> &'static str {
        match self {
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
            Self::Traces => "TRACES",
        }
    }

    /// The path for OTLP over HTTP.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
        }
    }
}

/// One export request.
pub(crate) enum Export {
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
    Traces(ExportTraceServiceRequest),
}

impl Export {
    pub(crate) fn decode(signal: Signal, body: &[u8]) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Metrics => Self::Metrics(Message::decode(body)?),
            Signal::Logs => Self::Logs(Message::decode(body)?),
            Signal::Traces => Self::Traces(Message::decode(body)?),
        })
    }

    /// Decodes OTLP/JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
    pub(crate) fn decode_json(signal: Signal, body: &[u8]) -> serde_json::Result<Self> {
        // Deserialized as a map first: serde would take an array for a message, too.
        let document: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
        let mut document = Value::Object(document);
        remove_nulls(&mut document);
        Ok(match signal {
            Signal::Metrics => Self::Metrics(serde_json::from_value(document)?),
            Signal::Logs => Self::Logs(serde_json::from_value(document)?),
            Signal::Traces => Self::Traces(serde_json::from_value(document)?),
        })
    }

    pub(crate) fn signal(&self) -> Signal {
        match self {
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
            Self::Traces(_) => Signal::Traces,
        }
    }
}

/// In the JSON mapping of protobuf null means that a field is not set, for every field.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// What was not accepted of a request that was accepted otherwise
/// (<https://opentelemetry.io/docs/specs/otlp/#partial-success>).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rejected {
    /// Data points or spans. Log records are never rejected.
    pub(crate) items: u64,
}

impl Rejected {
    const POINTS: &str = "too many series, or attributes that are too long";
    const SPANS: &str = "spans without a valid trace id and span id";

    fn count(self) -> i64 {
        i64::try_from(self.items).unwrap_or(i64::MAX)
    }

    pub(crate) fn metrics(self) -> ExportMetricsServiceResponse {
        ExportMetricsServiceResponse {
            partial_success: (self.items > 0).then(|| ExportMetricsPartialSuccess {
                rejected_data_points: self.count(),
                error_message: Self::POINTS.to_owned(),
            }),
        }
    }

    pub(crate) fn traces(self) -> ExportTraceServiceResponse {
        ExportTraceServiceResponse {
            partial_success: (self.items > 0).then(|| ExportTracePartialSuccess {
                rejected_spans: self.count(),
                error_message: Self::SPANS.to_owned(),
            }),
        }
    }

    /// The response to a request of this signal.
    pub(crate) fn encode(self, signal: Signal) -> Vec<u8> {
        match signal {
            Signal::Metrics => self.metrics().encode_to_vec(),
            Signal::Logs => ExportLogsServiceResponse::default().encode_to_vec(),
            Signal::Traces => self.traces().encode_to_vec(),
        }
    }

    /// The same as JSON.
    pub(crate) fn to_json(self, signal: Signal) -> String {
        let (items, message) = match signal {
            _ if self.items == 0 => return "{}".to_owned(),
            Signal::Metrics => ("rejectedDataPoints", Self::POINTS),
            Signal::Logs => ("rejectedLogRecords", ""),
            Signal::Traces => ("rejectedSpans", Self::SPANS),
        };
        let count = self.items.to_string();
        let partial = serde_json::json!({ items: count, "errorMessage": message });
        serde_json::json!({ "partialSuccess": partial }).to_string()
    }
}
