//! The console, on stderr: one line for each record, whatever is in it.
//!
//! What a client sent can forge no line: control characters are escaped. A stderr
//! that is not read costs lines, never requests.

mod escape;
mod line;
mod queue;

use std::{
    env,
    io::{self, IsTerminal as _},
};

use env_filter::{Filter, FilteredLog};
use env_logger::{Logger, Target, WriteStyle};
use log::LevelFilter;

#[cfg(feature = "tracing")]
pub(crate) use self::{
    escape::{Escaped, Quoted},
    queue::{Stderr, flush_at_the_end},
};
use crate::env::{Env, warn};

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
    let (filter, problem) = filter("RUST_LOG");
    let level = filter.filter();
    let logger = FilteredLog::new(logger(), filter);
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
    }
    report(problem);
}

/// Waits until the lines so far are written, for half a second at most. The end of
/// `main` does so too.
pub fn flush() {
    queue::flush();
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

/// A variable with a filter that cannot be parsed, and its value.
pub(crate) type Problem = Option<(&'static str, String)>;

/// Reports it; only once there is a logger.
pub(crate) fn report(problem: Problem) {
    if let Some((name, value)) = problem {
        let expected = "expected levels like info and targets like my_crate=debug, separated by \
                        commas";
        warn(name, &value, expected, "info");
    }
}

/// The directives of a variable on top of the defaults. Messages of the SDK are off
/// unless the variable names them: what matters to an operator is logged by this crate.
pub(crate) fn filter(variable: &'static str) -> (Filter, Problem) {
    let mut filter = env_filter::Builder::new();
    filter.filter_level(LevelFilter::Info);
    filter.filter_module("opentelemetry", LevelFilter::Off);
    filter.filter_module("actix_server", LevelFilter::Warn);
    let text = Env::process().get(variable);
    let problem = text.filter(|text| filter.try_parse(text).is_err());
    (filter.build(), problem.map(|text| (variable, text)))
}
