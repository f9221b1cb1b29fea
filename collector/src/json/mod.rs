//! One line of OTLP JSON for each export request, as the file exporter of the OpenTelemetry Collector
//! writes it: fields in the order of the protobuf definition, without default values, ids in
//! hexadecimal, 64-bit integers as strings, enums as integers
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
//!
//! The serde support of `opentelemetry-proto` does not fit: it writes default values, and `null`
//! for numbers that are not finite.

use crate::export::Export;

mod common;
mod logs;
mod metrics;
mod object;
mod traces;

use object::Object;

/// The request as one line, with the line feed.
pub(crate) fn line(export: &Export) -> String {
    let mut line = String::new();
    Object::write(&mut line, |object| match export {
        Export::Metrics(request) => {
            object.list(
                "resourceMetrics",
                &request.resource_metrics,
                metrics::resource_metrics,
            );
        }
        Export::Logs(request) => {
            object.list("resourceLogs", &request.resource_logs, logs::resource_logs);
        }
        Export::Traces(request) => {
            object.list(
                "resourceSpans",
                &request.resource_spans,
                traces::resource_spans,
            );
        }
    });
    line.push('\n');
    line
}
