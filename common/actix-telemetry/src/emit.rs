//! The records that this crate makes of requests and panics, through the library that
//! the program logs with: `tracing` if it has a subscriber, else `log`.
//!
//! Both have the same names. Records of `log` would reach a subscriber of `tracing` by
//! its bridge as well, but without their key-values.

use std::fmt::{self, Display};

use log::{Record, kv::Value};
use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, CODE_COLUMN_NUMBER, CODE_FILE_PATH, CODE_LINE_NUMBER, EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE, EXCEPTION_TYPE, HTTP_RESPONSE_STATUS_CODE, THREAD_NAME,
    USER_AGENT_ORIGINAL,
};

use crate::exception::Exception;

/// The duration of a request in seconds. The conventions have no attribute for it, and
/// ask others to stay out of their namespaces, so its prefix is that of the target.
const ACCESS_DURATION: &str = "access.duration";

/// The access line of a request.
pub(crate) struct AccessLine<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: Option<u16>,
    /// Seconds.
    pub(crate) duration: f64,
    pub(crate) client: Option<&'a str>,
    pub(crate) user_agent: Option<&'a str>,
    /// The handler's error.
    pub(crate) exception: Option<&'a Exception>,
    /// Whether the client did not get all of the response.
    pub(crate) cut: bool,
}

/// A panic.
pub(crate) struct Panic<'a> {
    pub(crate) message: &'a str,
    pub(crate) backtrace: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) thread: Option<&'a str>,
}

impl Display for AccessLine<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, .. } = self;
        match self.status {
            None => write!(out, "{method} {path} was cut before it was answered"),
            Some(status) if self.cut => {
                write!(out, "{method} {path} {status} was cut before its end")
            }
            Some(status) => write!(out, "{method} {path} {status}"),
        }
    }
}

/// Logs the access line: ERROR for 5xx, WARN for a request that was cut, else INFO.
pub(crate) fn access(line: &AccessLine<'_>) {
    let level = match line.status {
        Some(500..) => log::Level::Error,
        _ if line.cut => log::Level::Warn,
        _ => log::Level::Info,
    };
    #[cfg(feature = "tracing")]
    if ::tracing::dispatcher::has_been_set() {
        return with_tracing::access(line, level);
    }
    if level > log::max_level() {
        return;
    }
    let exception = line.exception;
    let exception = |name, text: fn(&Exception) -> &str| {
        exception.map(|exception| (name, Value::from(text(exception))))
    };
    // Not by the macro, with which what is absent has a key and costs as much as a value.
    let attributes = [
        line.status
            .map(|status| (HTTP_RESPONSE_STATUS_CODE, Value::from(status))),
        Some((ACCESS_DURATION, Value::from(line.duration))),
        line.client
            .map(|client| (CLIENT_ADDRESS, Value::from(client))),
        line.user_agent
            .map(|agent| (USER_AGENT_ORIGINAL, Value::from(agent))),
        exception(EXCEPTION_TYPE, |exception| &exception.kind),
        exception(EXCEPTION_MESSAGE, |exception| &exception.message),
        exception(EXCEPTION_STACKTRACE, |exception| &exception.stacktrace),
    ];
    log::logger().log(
        &Record::builder()
            .level(level)
            .target("access")
            .args(format_args!("{line}"))
            .key_values(&attributes)
            .build(),
    );
}

/// Logs a panic, as an ERROR.
pub(crate) fn panic(panic: &Panic<'_>) {
    let message = panic.message;
    #[cfg(feature = "tracing")]
    if ::tracing::dispatcher::has_been_set() {
        return with_tracing::panic(panic);
    }
    log::error!(
        target: "panic",
        (EXCEPTION_TYPE) = "panic",
        (EXCEPTION_MESSAGE) = message,
        (EXCEPTION_STACKTRACE) = panic.backtrace,
        (CODE_FILE_PATH) = panic.file,
        (CODE_LINE_NUMBER) = panic.line,
        (CODE_COLUMN_NUMBER) = panic.column,
        (THREAD_NAME) = panic.thread;
        "panicked: {message}"
    );
}

#[cfg(feature = "tracing")]
mod with_tracing {
    //! `tracing` wants levels and names at compile time.

    use log::Level;
    use tracing::{error, info, warn};

    use super::{AccessLine, Panic};

    pub(super) fn access(line: &AccessLine<'_>, level: Level) {
        let exception = line.exception;
        macro_rules! at {
            ($level:ident) => {
                $level!(
                    name: "access",
                    target: "access",
                    {
                    http.response.status_code = line.status,
                    access.duration = line.duration,
                    client.address = line.client,
                    user_agent.original = line.user_agent,
                    "exception.type" = exception.map(|exception| exception.kind.as_str()),
                    exception.message = exception.map(|exception| exception.message.as_str()),
                    exception.stacktrace = exception.map(|exception| exception.stacktrace.as_str()),
                    },
                    "{line}"
                )
            };
        }
        match level {
            Level::Error => at!(error),
            Level::Warn => at!(warn),
            _ => at!(info),
        }
    }

    pub(super) fn panic(panic: &Panic<'_>) {
        let message = panic.message;
        error!(
            name: "panic",
            target: "panic",
            {
            "exception.type" = "panic",
            exception.message = message,
            exception.stacktrace = panic.backtrace,
            code.file.path = panic.file,
            code.line.number = panic.line,
            code.column.number = panic.column,
            thread.name = panic.thread,
            },
            "panicked: {message}"
        );
    }
}
