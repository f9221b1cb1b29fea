//! The trace and the span that a line belongs to.

use std::fmt;

use opentelemetry::{Context, trace::TraceContextExt as _};

/// Shows the ids of the active span, after a blank; nothing if there is none.
pub(crate) struct Ids;

impl fmt::Display for Ids {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Context::map_current(|context| {
            if !context.has_active_span() {
                return Ok(());
            }
            let span = context.span();
            let span = span.span_context();
            write!(
                out,
                " trace_id={} span_id={}",
                span.trace_id(),
                span.span_id()
            )
        })
    }
}
