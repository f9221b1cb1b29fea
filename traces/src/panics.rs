//! A panic becomes an event of the span that it happens in, and a log record.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
};

use opentelemetry::{KeyValue, trace::get_active_span};
use opentelemetry_semantic_conventions::attribute::{
    EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE,
};

/// The target of the records, for the filter.
const TARGET: &str = "panic";

/// The longest message that a span repeats, in characters: it may hold what a client
/// sent.
const LENGTH_LIMIT: usize = 1_024;

/// Records panics from now on. What Rust would print itself is not: a panic message
/// may hold what a client sent, and nothing would be escaped.
///
/// With `RUST_BACKTRACE=1` the event has a backtrace.
pub(crate) fn record_them() {
    panic::set_hook(Box::new(|panic| {
        let message = message(panic);
        let location = panic.location().map(ToString::to_string);
        let location = location.unwrap_or_default();
        log::error!(target: TARGET, "panicked at {location}: {message}");
        let mut attributes = vec![
            KeyValue::new(EXCEPTION_TYPE, "panic"),
            KeyValue::new(EXCEPTION_MESSAGE, message),
        ];
        let backtrace = Backtrace::capture();
        let stack = match backtrace.status() {
            BacktraceStatus::Captured => format!("{location}\n{backtrace}"),
            _ => location,
        };
        attributes.push(KeyValue::new(EXCEPTION_STACKTRACE, stack));
        get_active_span(|span| span.add_event("exception", attributes));
    }));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
        .chars()
        .take(LENGTH_LIMIT)
        .collect()
}
