//! What the environment says, read and checked before anything is started.

use std::{env, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use env_filter::Filter;
use log::LevelFilter;

use crate::otlp::{Exporter, Signal};

/// What the environment says about logging.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the console shows: `RUST_LOG`.
    pub(crate) console: Filter,
    /// What OpenTelemetry gets: `OTEL_RUST_LOG`, in the same language.
    pub(crate) otel: Filter,
    /// The longest message and the longest attribute value, in characters.
    pub(crate) length_limit: usize,
    /// How many records wait at most for their export.
    pub(crate) queue: usize,
    /// How many records are exported at once.
    pub(crate) batch: usize,
    /// How long a record waits at most for others to be exported with.
    pub(crate) delay: Duration,
}

impl Settings {
    /// Reads and checks the variables.
    ///
    /// # Errors
    ///
    /// One line that names the variable, its value and what is allowed.
    pub(crate) fn from_env() -> Result<Self, String> {
        Self::read(&|name| env::var(name).ok())
    }

    fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        Exporter::from_env(Signal::Logs)?;
        let variables = Variables(lookup);
        let queue = variables.number("OTEL_BLRP_MAX_QUEUE_SIZE", 1..=1_000_000)?;
        let queue = queue.unwrap_or(2_048);
        let batch = variables.number("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", 1..=queue)?;
        let delay = variables.number("OTEL_BLRP_SCHEDULE_DELAY", 1..=3_600_000)?;
        let of_logs = variables.number("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", LENGTHS)?;
        let of_all = variables.number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", LENGTHS)?;
        Ok(Self {
            console: variables.filter("RUST_LOG")?,
            otel: variables.filter("OTEL_RUST_LOG")?,
            length_limit: of_logs.or(of_all).unwrap_or(4_096),
            queue,
            batch: batch.unwrap_or(queue.min(512)),
            delay: Duration::from_millis(delay.unwrap_or(1_000)),
        })
    }
}

/// Room for the mark of what was cut off, and no more than one export takes.
const LENGTHS: RangeInclusive<usize> = 32..=1_000_000;

/// The environment, in which an empty variable counts as an unset one.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn number<T>(&self, name: &str, allowed: RangeInclusive<T>) -> Result<Option<T>, String>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(format!(
                "{name} is {text:?}, and a number from {} to {} is allowed",
                allowed.start(),
                allowed.end()
            )),
        }
    }

    /// The directives of a variable on top of the defaults. The SDK's own messages
    /// are off unless the variable names them: what matters to an operator is said
    /// by `delivery`.
    fn filter(&self, name: &str) -> Result<Filter, String> {
        let mut filter = env_filter::Builder::new();
        filter.filter_level(LevelFilter::Info);
        filter.filter_module("opentelemetry", LevelFilter::Off);
        if let Some(text) = self.get(name) {
            filter.try_parse(&text).map_err(|error| {
                format!(
                    "{name} is {text:?}: {error}; levels like info and targets like \
                     my_crate::module=debug are allowed, separated by commas"
                )
            })?;
        }
        Ok(filter.build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        Settings::read(&lookup)
    }

    #[test]
    fn both_filters_speak_the_same_language_and_start_from_info() {
        let settings = read(&[("RUST_LOG", "warn,shop=trace"), ("OTEL_RUST_LOG", " ")]).unwrap();
        let enabled = |filter: &Filter, level, target: &str| {
            filter.enabled(&log::Metadata::builder().level(level).target(target).build())
        };
        assert!(enabled(&settings.console, log::Level::Trace, "shop::cart"));
        assert!(!enabled(&settings.console, log::Level::Info, "other"));
        assert!(enabled(&settings.otel, log::Level::Info, "shop::cart"));
        assert!(!enabled(&settings.otel, log::Level::Debug, "shop::cart"));
    }

    #[test]
    fn the_limit_for_logs_goes_before_the_one_for_all_signals() {
        let both = [
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
            ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "200"),
        ];
        assert_eq!(read(&both).unwrap().length_limit, 200);
        assert_eq!(read(&both[..1]).unwrap().length_limit, 100);
    }

    #[test]
    fn a_bad_value_is_told_with_its_variable_and_what_is_allowed() {
        for (name, value, allowed) in [
            ("RUST_LOG", "logs=loud", "levels like info"),
            ("OTEL_RUST_LOG", "a=b=c", "levels like info"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "0", "from 1 to"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4096", "to 2048"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "soon", "from 1 to"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "8", "from 32 to"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
            assert!(error.contains(allowed), "{error}");
        }
    }
}
