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

    /// The variable, if it is set and not empty.
    pub(crate) fn variable(self, name: &str) -> Option<Variable> {
        let value = self.get(name)?;
        let name = name.to_owned();
        Some(Variable { name, value })
    }

    /// A boolean: `true` in any case is true, everything else false, as specified.
    pub(crate) fn flag(self, name: &str) -> bool {
        self.variable(name).is_some_and(|variable| variable.flag())
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
    fn flag(&self) -> bool {
        if !self.is("true") && !self.is("false") {
            self.reject("expected true or false", "false");
        }
        self.is("true")
    }

    /// Whether the value is this one, in any case.
    pub(crate) fn is(&self, value: &str) -> bool {
        self.value.eq_ignore_ascii_case(value)
    }

    /// Reports that the value is not used.
    pub(crate) fn reject(&self, expected: &str, used: impl Display) {
        warn(&self.name, &self.shown(), expected, used);
    }

    /// The value as it may be printed: of a URL, scheme, host and port.
    pub(crate) fn shown(&self) -> String {
        let value = &self.value;
        if !self.name.ends_with("ENDPOINT") && !value.contains("://") && !value.contains('@') {
            return value.clone();
        }
        let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let cut = if host.len() == rest.len() { "" } else { "…" };
        match scheme {
            "" => format!("{host}{cut}"),
            scheme => format!("{scheme}://{host}{cut}"),
        }
    }
}

/// Whether `OTEL_SDK_DISABLED` says that nothing is recorded. Then leave the global
/// tracer provider unset: a context is passed on as it came.
pub fn sdk_disabled() -> bool {
    Env::process().flag("OTEL_SDK_DISABLED")
}
