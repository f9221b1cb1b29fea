//! What the environment says, read and checked before anything is started.

use std::{env, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use env_filter::Filter;
use log::LevelFilter;
use opentelemetry_sdk::trace::Sampler;

use crate::{
    otlp::{Exporter, Signal},
    propagation::Propagators,
    sampling,
};

/// What the environment says about tracing.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the console shows: `RUST_LOG`.
    pub(crate) console: Filter,
    /// Nothing is recorded, and contexts are only passed on: `OTEL_SDK_DISABLED`.
    pub(crate) disabled: bool,
    /// Which headers carry the context: `OTEL_PROPAGATORS`.
    pub(crate) propagators: Propagators,
    /// Which traces are recorded: `OTEL_TRACES_SAMPLER`.
    pub(crate) sampler: Sampler,
    /// How many spans wait at most for their export.
    pub(crate) queue: usize,
    /// How many spans are exported at once.
    pub(crate) batch: usize,
    /// How long a span waits at most for others to be exported with.
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
        Exporter::from_env(Signal::Traces)?;
        let variables = Variables(lookup);
        let disabled = variables.get("OTEL_SDK_DISABLED");
        let propagators = variables.get("OTEL_PROPAGATORS");
        let sampler = variables.get("OTEL_TRACES_SAMPLER");
        let argument = variables.get("OTEL_TRACES_SAMPLER_ARG");
        let queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=1_000_000)?;
        let queue = queue.unwrap_or(2_048);
        let batch = variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=queue)?;
        let delay = variables.number("OTEL_BSP_SCHEDULE_DELAY", 1..=3_600_000)?;
        for name in LIMITS {
            variables.number::<u32>(name, 0..=100_000)?;
        }
        Ok(Self {
            console: variables.filter("RUST_LOG")?,
            disabled: disabled.is_some_and(|value| value.eq_ignore_ascii_case("true")),
            propagators: Propagators::parse(propagators.as_deref())?,
            sampler: sampling::parse(sampler.as_deref(), argument.as_deref())?,
            queue,
            batch: batch.unwrap_or(queue.min(512)),
            // For a demonstration; the specification's default is 5 seconds.
            delay: Duration::from_millis(delay.unwrap_or(1_000)),
        })
    }
}

/// Read by the SDK, which does not tell a mistake.
const LIMITS: [&str; 3] = [
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
];

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
    fn an_empty_variable_counts_as_an_unset_one() {
        let settings = read(&[
            ("OTEL_TRACES_SAMPLER", " "),
            ("OTEL_PROPAGATORS", ""),
            ("OTEL_BSP_MAX_QUEUE_SIZE", ""),
        ]);
        let settings = settings.unwrap();
        assert_eq!((settings.queue, settings.batch), (2_048, 512));
        assert_eq!(settings.propagators, Propagators::parse(None).unwrap());
    }

    #[test]
    fn a_bad_value_is_told_with_its_variable_and_what_is_allowed() {
        for (name, value, allowed) in [
            ("RUST_LOG", "traces=loud", "levels like info"),
            ("OTEL_PROPAGATORS", "pigeon", "tracecontext"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "always_on"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "from 1 to"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "to 2048"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon", "from 1 to"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "from 0 to"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
            assert!(error.contains(allowed), "{error}");
        }
    }
}
