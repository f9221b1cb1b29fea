//! A panic as a log record and as an event of the span that it happens in.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, Location, PanicHookInfo},
    sync::Once,
    thread,
};

use opentelemetry::{KeyValue, trace::get_active_span};
use opentelemetry_semantic_conventions::attribute::{
    EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE,
};

use crate::{
    emit::{self, Panic},
    stderr,
    text::limited,
};

/// The longest message that is recorded, in characters: it may hold what a client sent.
const MESSAGE_LIMIT: usize = 1_024;

/// Records panics from now on, once however often it is called.
///
/// What Rust would print itself is not printed: a panic message may hold what a client
/// sent, and nothing would be escaped. With `RUST_BACKTRACE=1` the record has a
/// backtrace.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| panic::set_hook(Box::new(record)));
}

fn record(panic: &PanicHookInfo<'_>) {
    let message = limited(message(panic), MESSAGE_LIMIT).unwrap_or_else(|cut| cut);
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| backtrace.to_string());
    let location = panic.location();
    emit::panic(&Panic {
        message: &message,
        backtrace: backtrace.as_deref(),
        file: location.map(Location::file),
        line: location.map(Location::line),
        column: location.map(Location::column),
        thread: thread::current().name(),
    });
    get_active_span(|span| {
        let location = location.map(ToString::to_string).unwrap_or_default();
        let stacktrace = match &backtrace {
            Some(backtrace) => format!("{location}\n{backtrace}"),
            None => location,
        };
        let attributes = vec![
            KeyValue::new(EXCEPTION_TYPE, "panic"),
            KeyValue::new(EXCEPTION_MESSAGE, message.clone()),
            KeyValue::new(EXCEPTION_STACKTRACE, stacktrace),
        ];
        span.add_event("exception", attributes);
    });
    // A panic that unwinds is met further up: by the middleware, by the runtime of the
    // task, or by what drops the providers while `main` is left.
    if aborts(&message) {
        log::logger().flush();
        stderr::flush();
    }
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

/// Whether the process ends right after the hook. The standard library panics with
/// these messages, from `core/src/panicking.rs`, where it can unwind no further.
fn aborts(message: &str) -> bool {
    cfg!(panic = "abort")
        || [
            "panic in a destructor during cleanup",
            "panic in a function that cannot unwind",
        ]
        .contains(&message)
}
