//! An error as the attributes of the event `exception`, with all its causes.

use std::{any, error::Error, fmt, iter};

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute::{
    EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE,
};

/// What the conventions want to know of an error.
///
/// [`SpanRef::record_error`](opentelemetry::trace::SpanRef::record_error) would tell
/// the message alone.
pub(crate) fn attributes<E: Error + 'static>(error: &E) -> Vec<KeyValue> {
    vec![
        KeyValue::new(EXCEPTION_TYPE, type_name(error)),
        KeyValue::new(EXCEPTION_MESSAGE, error.to_string()),
        KeyValue::new(EXCEPTION_STACKTRACE, Causes(error).to_string()),
    ]
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

/// The type of an error, for the attribute `exception.type`.
pub(crate) fn type_name<E: Error>(_: &E) -> &'static str {
    any::type_name::<E>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Step(&'static str, #[source] Option<Box<Step>>);

    #[test]
    fn the_whole_chain_is_shown_in_order() {
        let error = Step(
            "a",
            Some(Box::new(Step("b", Some(Box::new(Step("c", None)))))),
        );
        assert_eq!(Causes(&error).to_string(), "a\ncaused by: b\ncaused by: c");
        assert!(type_name(&error).ends_with("exception::tests::Step"));
    }
}
