//! An error as telemetry describes it: type, message and causes.

use std::{any, error::Error, fmt, iter};

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute::{
    EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE,
};

use crate::text::limited;

/// The longest message of a handler's error that is recorded, in characters: it may
/// hold what a client sent.
const MESSAGE_LIMIT: usize = 1_024;

/// An error under the names of the [semantic conventions].
///
/// ```
/// use actix_telemetry::Exception;
///
/// let error = "x".parse::<u8>().unwrap_err();
/// let exception = Exception::of(&error);
/// assert_eq!(exception.kind, "core::num::error::ParseIntError");
/// log::error!(
///     "exception.type" = exception.kind,
///     "exception.stacktrace" = exception.stacktrace;
///     "{error}"
/// );
/// ```
///
/// [semantic conventions]: https://opentelemetry.io/docs/specs/semconv/exceptions/
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The attribute `exception.type`: the name of the error's type.
    pub kind: String,
    /// The attribute `exception.message`: what the error prints.
    pub message: String,
    /// The attribute `exception.stacktrace`: the error and, line by line, its causes.
    pub stacktrace: String,
}

impl Exception {
    /// Describes an error with all its causes.
    pub fn of<E: Error + 'static>(error: &E) -> Self {
        Self {
            kind: any::type_name::<E>().to_owned(),
            message: error.to_string(),
            stacktrace: Causes(error).to_string(),
        }
    }

    /// Describes an error of a handler, of which actix-web tells only what it prints.
    pub(crate) fn of_actix(error: &actix_web::Error) -> Self {
        let message = limited(error, MESSAGE_LIMIT).unwrap_or_else(|cut| cut);
        let debug = limited(format_args!("{error:?}"), MESSAGE_LIMIT).unwrap_or_else(|cut| cut);
        Self {
            kind: leading_name(&debug)
                .unwrap_or("actix_web::Error")
                .to_owned(),
            stacktrace: message.clone(),
            message,
        }
    }

    /// As attributes of the span event `exception`.
    ///
    /// [`SpanRef::record_error`](opentelemetry::trace::SpanRef::record_error) would
    /// record the message alone.
    pub fn attributes(&self) -> Vec<KeyValue> {
        vec![
            KeyValue::new(EXCEPTION_TYPE, self.kind.clone()),
            KeyValue::new(EXCEPTION_MESSAGE, self.message.clone()),
            KeyValue::new(EXCEPTION_STACKTRACE, self.stacktrace.clone()),
        ]
    }
}

/// The name with which derived `Debug` output begins.
fn leading_name(debug: &str) -> Option<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let end = debug.find(|character| !is_part(character));
    let name = &debug[..end.unwrap_or(debug.len())];
    let ends_well =
        debug[name.len()..].is_empty() || debug[name.len()..].starts_with([' ', '(', '{']);
    let begins_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    (begins_well && ends_well && name.len() <= 64).then_some(name)
}

/// Shows an error and under it, line by line, what caused it.
struct Causes<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        iter::successors(self.0.source(), |error| (*error).source())
            .try_for_each(|cause| write!(out, "\ncaused by: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Step(&'static str, #[source] Option<Box<Step>>);

    #[test]
    fn the_whole_chain_is_shown_in_order() {
        let cause = Step("b", Some(Box::new(Step("c", None))));
        let exception = Exception::of(&Step("a", Some(Box::new(cause))));
        assert_eq!(exception.stacktrace, "a\ncaused by: b\ncaused by: c");
        assert!(exception.kind.ends_with("exception::tests::Step"));
    }

    #[test]
    fn the_type_of_an_unknown_error_is_the_name_that_its_debug_output_begins_with() {
        for (debug, expected) in [
            ("Sold", Some("Sold")),
            ("Database(\"x\")", Some("Database")),
            ("Query { id: 1 }", Some("Query")),
            ("shop::Sold", Some("shop::Sold")),
            ("\"a text\"", None),
            ("no such: order, 12", Some("no")),
            ("o'clock", None),
            ("", None),
        ] {
            assert_eq!(leading_name(debug), expected, "{debug}");
        }
    }
}
