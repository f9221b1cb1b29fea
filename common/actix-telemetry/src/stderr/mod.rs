//! stderr, as the console writes to it: one line for each record, whatever is in it,
//! and never a wait for whoever reads it.

mod escape;
mod ids;
mod line;
mod queue;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use env_filter::Filter;
use env_logger::{Logger, Target, WriteStyle};
use log::LevelFilter;

use self::escape::Escaped;
pub(crate) use self::queue::flush;
#[cfg(feature = "tracing")]
pub(crate) use self::{
    escape::{Escaped as EscapedText, Quoted},
    ids::Ids,
    queue::{Stderr, flush_at_the_end},
};

/// Whether a logger of this crate was installed.
static READY: AtomicBool = AtomicBool::new(false);

/// The variable with the filter of the console.
pub(crate) const CONSOLE: &str = "RUST_LOG";

/// A logger of this crate was installed.
pub(crate) fn is_ready() {
    READY.store(true, Relaxed);
}

/// Writes a warning before there is any logger, as when a subscriber of `tracing` is
/// being built.
pub(crate) fn warn_early(text: &str) {
    let line = format!(
        "[WARN  {} actix_telemetry] {}\n",
        process::id(),
        Escaped(text)
    );
    let _ = queue::Stderr.write_all(line.as_bytes());
}

/// Whether no logger would show a warning.
pub(crate) fn is_early() -> bool {
    log::max_level() == LevelFilter::Off && !READY.load(Relaxed)
}

/// A logger that writes every record it gets.
pub(crate) fn logger() -> Logger {
    queue::flush_at_the_end();
    env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .write_style(style())
        .target(Target::Pipe(Box::new(queue::Stderr)))
        .format(line::write)
        .build()
}

/// Whether lines are coloured.
pub(crate) fn is_coloured() -> bool {
    let style = env::var("RUST_LOG_STYLE").unwrap_or_default();
    match style.to_ascii_lowercase().as_str() {
        "always" => true,
        "never" => false,
        _ => {
            let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            io::stderr().is_terminal() && !no_color
        }
    }
}

fn style() -> WriteStyle {
    match is_coloured() {
        true => WriteStyle::Always,
        false => WriteStyle::Never,
    }
}

/// The directives of a variable on top of the defaults, and its value if that cannot be
/// parsed. Messages of the SDK are off unless the variable names them: what matters to
/// an operator is logged by this crate.
pub(crate) fn filter(variable: &'static str) -> (Filter, Option<String>) {
    let mut filter = env_filter::Builder::new();
    filter.filter_level(LevelFilter::Info);
    filter.filter_module("opentelemetry", LevelFilter::Off);
    filter.filter_module("actix_server", LevelFilter::Warn);
    let text = env::var(variable).unwrap_or_default();
    let text = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let problem = text.filter(|text| filter.try_parse(text).is_err());
    (filter.build(), problem)
}
