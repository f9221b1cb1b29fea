//! A panic becomes a log record, on the console and for OpenTelemetry.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, Location, PanicHookInfo},
    thread,
};

use opentelemetry_semantic_conventions::attribute::{
    CODE_COLUMN_NUMBER, CODE_FILE_PATH, CODE_LINE_NUMBER, EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE, THREAD_NAME,
};

/// The target of the records, for the filters.
const TARGET: &str = "panic";

/// Logs panics from now on. What Rust would print itself is not: a panic message
/// may hold what a client sent, and nothing would be escaped.
///
/// With `RUST_BACKTRACE=1` the record has a backtrace.
pub(crate) fn log_them() {
    panic::set_hook(Box::new(|panic| {
        log_panic(panic);
        // A panic that unwinds is met further up: by the middleware, by the task's
        // runtime, or by what drops the telemetry while `main` is left.
        if aborts(message(panic)) {
            log::logger().flush();
        }
    }));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = message(panic);
    let backtrace = Backtrace::capture();
    let captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = captured.then(|| backtrace.to_string());
    let location = panic.location();
    log::error!(
        target: TARGET,
        (EXCEPTION_TYPE) = "panic",
        (EXCEPTION_MESSAGE) = message,
        (EXCEPTION_STACKTRACE) = backtrace.as_deref(),
        (CODE_FILE_PATH) = location.map(Location::file),
        (CODE_LINE_NUMBER) = location.map(Location::line),
        (CODE_COLUMN_NUMBER) = location.map(Location::column),
        (THREAD_NAME) = thread::current().name();
        "panicked: {message}"
    );
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
