//! Spans and log records as OTLP, written straight into bytes.
//!
//! `opentelemetry-proto` makes a message of each item first, with a copy of every text in
//! it, and encodes that. Field numbers are those of
//! <https://github.com/open-telemetry/opentelemetry-proto/tree/v1.10.0/opentelemetry/proto>.
//! A test compares both ways.

#[cfg(feature = "logs")]
mod log_record;
mod protobuf;
#[cfg(feature = "traces")]
mod span;
#[cfg(all(test, feature = "logs", feature = "traces"))]
mod tests;
mod value;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;

#[cfg(feature = "logs")]
pub(crate) use self::log_record::log_record;
#[cfg(feature = "traces")]
pub(crate) use self::span::span;
use self::{
    protobuf::{bytes, message},
    value::attribute,
};

/// Writes the fields of a `ResourceSpans` or `ResourceLogs` that say who sends.
pub(crate) fn resource(out: &mut Vec<u8>, resource: &Resource) {
    message(out, 1, |out| {
        for (key, value) in resource {
            attribute(out, 1, key, value);
        }
    });
    bytes(out, 3, resource.schema_url().unwrap_or_default());
}

/// Writes the fields of a `ScopeSpans` or `ScopeLogs` that say what made its items. The
/// target of a log record takes the place of the name.
pub(crate) fn scope(out: &mut Vec<u8>, scope: &InstrumentationScope, target: Option<&str>) {
    message(out, 1, |out| {
        bytes(out, 1, target.unwrap_or(scope.name()));
        bytes(out, 2, scope.version().unwrap_or_default());
        for pair in scope.attributes() {
            attribute(out, 3, &pair.key, &pair.value);
        }
    });
    bytes(out, 3, scope.schema_url().unwrap_or_default());
}

/// An `ExportTraceServiceRequest` or `ExportLogsServiceRequest`: what [`resource`] wrote,
/// and for each scope what [`scope`] wrote and its items.
pub(crate) fn request<'a>(
    resource: &[u8],
    scopes: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>,
) -> Vec<u8> {
    let mut all = resource.to_vec();
    for (scope, items) in scopes {
        protobuf::length_delimited(&mut all, 2, &[&**scope, items].concat());
    }
    let mut request = Vec::new();
    protobuf::length_delimited(&mut request, 1, &all);
    request
}

/// Nanoseconds since 1970; 0 before.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
