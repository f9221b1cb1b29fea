//! The console: one line on stderr for each record of the `log` crate.
//!
//! What a client sent can forge no line: control characters are escaped. A stderr
//! that is not read costs lines, which are counted, and never requests.

use env_filter::FilteredLog;

use crate::{
    stderr::{self, CONSOLE},
    warn::warn_filter,
};

/// Makes the console the logger of the process, for a program that exports no logs.
///
/// `RUST_LOG` says what is shown, `info` and above by default; `RUST_LOG_STYLE` says
/// whether in colour (`auto`, `always`, `never`). A filter that cannot be parsed is
/// logged and replaced by the default.
///
/// ```
/// actix_telemetry::console::init();
/// log::info!(order = 7; "an order came in");
/// ```
pub fn init() {
    let (filter, bad) = stderr::filter(CONSOLE);
    let level = filter.filter();
    let logger = FilteredLog::new(stderr::logger(), filter);
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        stderr::is_ready();
        log::set_max_level(level);
    }
    warn_filter(CONSOLE, bad);
}

/// Waits until the lines so far are written, for half a second at most. The end of
/// `main` does so too.
pub fn flush() {
    stderr::flush();
}
