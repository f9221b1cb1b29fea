//! No message and no value is longer than a limit: the SDK has none for logs, and
//! one record may hold what a client sent.

use std::borrow::Cow;

use log::{
    Record,
    kv::{Error, Key, Source, Value, VisitSource, VisitValue},
};

use crate::text::limited;

/// Calls `then` with the record, of which every text has at most `limit`
/// characters, the mark of what was cut off included. Its message is formatted once.
///
/// A longer value that is no text, such as a list, becomes the beginning of its text.
pub(crate) fn with_limited(record: &Record<'_>, limit: usize, then: impl FnOnce(&Record<'_>)) {
    let message = match record.args().as_str() {
        Some(literal) if literal.len() <= limit => Cow::Borrowed(literal),
        _ => limited(record.args(), limit)
            .unwrap_or_else(|cut| cut)
            .into(),
    };
    let mut all_fit = AllFit {
        limit,
        so_far: true,
    };
    // The visitor never fails.
    let _ = record.key_values().visit(&mut all_fit);
    let mut limited = record.to_builder();
    if all_fit.so_far {
        return then(&limited.args(format_args!("{message}")).build());
    }
    let mut pairs = Pairs {
        limit,
        pairs: Vec::new(),
    };
    let _ = record.key_values().visit(&mut pairs);
    let limited = limited.key_values(&pairs);
    then(&limited.args(format_args!("{message}")).build());
}

/// Finds out whether nothing has to be cut off, as is usual.
struct AllFit {
    limit: usize,
    so_far: bool,
}

impl<'kvs> VisitSource<'kvs> for AllFit {
    fn visit_pair(&mut self, _: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.so_far = self.so_far && fits(&value, self.limit);
        Ok(())
    }
}

fn fits(value: &Value<'_>, limit: usize) -> bool {
    let mut visitor = Fits { limit, fits: true };
    // The visitor never fails.
    let _ = value.visit(&mut visitor);
    visitor.fits
}

struct Fits {
    limit: usize,
    fits: bool,
}

impl<'v> VisitValue<'v> for &mut Fits {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.fits = limited(value, self.limit).is_ok();
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.fits = value.len() <= self.limit || value.chars().nth(self.limit).is_none();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_bool(&mut self, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn visit_i64(&mut self, _: i64) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn visit_f64(&mut self, _: f64) -> Result<(), Error> {
        Ok(())
    }
}

/// Key-values of which those that are too long were cut.
struct Pairs<'a> {
    limit: usize,
    pairs: Vec<(Key<'a>, Pair<'a>)>,
}

enum Pair<'a> {
    Whole(Value<'a>),
    Cut(String),
}

impl<'kvs> VisitSource<'kvs> for Pairs<'kvs> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = if fits(&value, self.limit) {
            Pair::Whole(value)
        } else {
            Pair::Cut(limited(value, self.limit).unwrap_or_else(|cut| cut))
        };
        self.pairs.push((key, value));
        Ok(())
    }
}

impl Source for Pairs<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        for (key, value) in &self.pairs {
            let value = match value {
                Pair::Whole(value) => value.clone(),
                Pair::Cut(text) => Value::from(text.as_str()),
            };
            visitor.visit_pair(Key::from(key.as_str()), value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MARK;

    /// The message and the values of a record after the limit.
    fn after(limit: usize, message: &str, pairs: &[(&str, Value<'_>)]) -> (String, Vec<String>) {
        let record = Record::builder();
        let mut result = None;
        with_limited(
            &{ record }
                .args(format_args!("{message}"))
                .key_values(&pairs)
                .build(),
            limit,
            |record| {
                let values = pairs.iter().map(|(key, _)| {
                    let value = record.key_values().get(Key::from(*key)).unwrap();
                    value.to_string()
                });
                result = Some((record.args().to_string(), values.collect()));
            },
        );
        result.unwrap()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let pairs = [
            ("n", Value::from(3)),
            ("text", Value::from("ö".repeat(32).leak() as &str)),
        ];
        let (message, values) = after(32, "hello", &pairs);
        assert_eq!(message, "hello");
        assert_eq!(values, ["3".to_owned(), "ö".repeat(32)]);
    }

    #[test]
    fn a_longer_message_and_longer_values_end_with_a_mark_within_the_limit() {
        let long = "ö".repeat(1_000_000);
        let list = vec![1_000; 1_000];
        let pairs = [
            ("text", Value::from(long.as_str())),
            ("list", Value::from_debug(&list)),
            ("n", Value::from(3)),
        ];
        let (message, values) = after(32, &long, &pairs);
        for text in [&message, &values[0], &values[1]] {
            assert_eq!(text.chars().count(), 32, "{text}");
            assert!(text.ends_with(MARK), "{text}");
        }
        assert_eq!(values[2], "3");
    }
}
