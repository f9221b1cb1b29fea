//! Received log records and spans, each with its sender.

use std::sync::Arc;

use opentelemetry_proto::tonic::{common::v1::any_value, logs::v1::LogRecord, trace::v1::Span};

use crate::{attribute, instance::Instance};

/// A log record with its sender.
#[derive(Clone, Debug)]
pub struct ReceivedLog {
    /// Who sent it.
    pub instance: Arc<Instance>,
    /// The name of the instrumentation scope. The bridge of the `log` crate sends the target here.
    pub scope: String,
    /// The record with typed attributes.
    pub record: LogRecord,
}

/// A span with its sender.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    /// Who sent it.
    pub instance: Arc<Instance>,
    /// The name of the instrumentation scope.
    pub scope: String,
    /// The span with typed attributes.
    pub span: Span,
}

impl ReceivedLog {
    /// The body as text.
    pub fn body(&self) -> String {
        attribute::to_text(self.record.body.as_ref())
    }

    /// The typed value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&any_value::Value> {
        attribute::find(&self.record.attributes, key)
    }

    /// The trace id in lower-case hexadecimal; empty if the record has none.
    pub fn trace_id(&self) -> String {
        attribute::hex(&self.record.trace_id)
    }

    /// The span id in lower-case hexadecimal; empty if the record has none.
    pub fn span_id(&self) -> String {
        attribute::hex(&self.record.span_id)
    }
}

impl ReceivedSpan {
    /// The typed value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&any_value::Value> {
        attribute::find(&self.span.attributes, key)
    }

    /// The trace id in lower-case hexadecimal.
    pub fn trace_id(&self) -> String {
        attribute::hex(&self.span.trace_id)
    }

    /// The span id in lower-case hexadecimal.
    pub fn span_id(&self) -> String {
        attribute::hex(&self.span.span_id)
    }

    /// The parent's span id in lower-case hexadecimal; empty for a root span.
    pub fn parent_span_id(&self) -> String {
        attribute::hex(&self.span.parent_span_id)
    }
}
