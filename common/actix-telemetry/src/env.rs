//! The environment, read as the OpenTelemetry specification wants it.
//!
//! An empty value counts as unset, after trimming. The names of enum values are
//! case-insensitive. A value that is unknown or does not parse is a warning and the
//! default: telemetry settings never stop the service.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::{env, fmt::Display};
#[cfg(feature = "export")]
use std::{ops::RangeInclusive, str::FromStr};

use crate::warn::warn;

/// Where variables are looked up: the environment of the process, or that of a test.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

/// A variable that is set and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    /// Trimmed.
    pub(crate) value: String,
}

impl Env<'static> {
    /// The environment of this process.
    pub(crate) fn process() -> Self {
        Self(&|name| env::var(name).ok())
    }
}

impl Env<'_> {
    /// The value of a variable, trimmed; `None` if it is unset or empty.
    pub(crate) fn get(self, name: &str) -> Option<String> {
        let value = (self.0)(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    /// The first of these variables that is set and not empty.
    pub(crate) fn first(self, names: &[String]) -> Option<Variable> {
        names.iter().find_map(|name| {
            let value = self.get(name)?;
            let name = name.clone();
            Some(Variable { name, value })
        })
    }

    /// A boolean: `true` in any case is true, everything else false, as specified.
    pub(crate) fn flag(self, name: &str) -> bool {
        let Some(value) = self.get(name) else {
            return false;
        };
        let is_true = value.eq_ignore_ascii_case("true");
        if !is_true && !value.eq_ignore_ascii_case("false") {
            warn(name, &value, "expected true or false", "false");
        }
        is_true
    }

    /// A number within a range, else a warning and the default.
    #[cfg(feature = "export")]
    pub(crate) fn number<T>(self, name: &str, allowed: RangeInclusive<T>, default: T) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.get(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => number,
            _ => {
                let (first, last) = (allowed.start(), allowed.end());
                let expected = format!("expected a number from {first} to {last}");
                warn(name, &text, &expected, default.to_string());
                default
            }
        }
    }
}

impl Variable {
    /// Whether the value is this one, in any case.
    #[cfg(feature = "export")]
    pub(crate) fn is(&self, value: &str) -> bool {
        self.value.eq_ignore_ascii_case(value)
    }

    /// Reports that the value is not used.
    pub(crate) fn reject(&self, expected: &str, used: impl Display) {
        warn(&self.name, &self.value, expected, used);
    }
}

/// Whether `OTEL_SDK_DISABLED` says that nothing is recorded. Then leave the global
/// tracer provider unset: a context is passed on as it came.
pub fn sdk_disabled() -> bool {
    Env::process().flag("OTEL_SDK_DISABLED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(variables: &[(&str, &str)], read: impl FnOnce(Env<'_>) -> T) -> T {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        read(Env(&lookup))
    }

    #[test]
    fn an_empty_value_counts_as_unset_and_others_are_trimmed() {
        with(&[("A", " "), ("B", " x\r\n")], |env| {
            assert_eq!(env.get("A"), None);
            assert_eq!(env.get("B").as_deref(), Some("x"));
            let first = env.first(&["A".to_owned(), "B".to_owned()]).unwrap();
            assert_eq!((first.name.as_str(), first.value.as_str()), ("B", "x"));
        });
    }

    #[cfg(feature = "export")]
    #[test]
    fn a_number_that_does_not_parse_or_fit_is_the_default() {
        for (value, expected) in [("7", 7), ("0", 5), ("11", 5), ("1e1", 5), ("", 5)] {
            let found = with(&[("N", value)], |env| env.number("N", 1..=10, 5));
            assert_eq!(found, expected, "{value:?}");
        }
    }

    #[test]
    fn only_true_is_true() {
        for (value, expected) in [("TRUE", true), ("1", false), ("", false), ("yes", false)] {
            assert_eq!(with(&[("F", value)], |env| env.flag("F")), expected);
        }
    }
}
