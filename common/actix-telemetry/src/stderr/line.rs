//! The line of a record.

use std::{
    io::{self, Write as _},
    process,
};

use super::{
    escape::{Escaped, Quoted},
    ids::Ids,
};
use env_logger::fmt::Formatter;
use log::{
    Record,
    kv::{Error, Key, Value, VisitSource, VisitValue},
};

pub(super) fn write(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let style = out.default_level_style(record.level());
    write!(
        out,
        "[{} {style}{:<5}{style:#} {} {}] {}",
        out.timestamp_millis(),
        record.level(),
        process::id(),
        Escaped(record.target()),
        Escaped(&record.args().to_string()),
    )?;
    let mut pairs = Pairs {
        out,
        result: Ok(()),
    };
    // An error of the visit is an error of the output, which is kept aside.
    let _ = record.key_values().visit(&mut pairs);
    pairs.result?;
    writeln!(out, "{Ids}")
}

/// Writes key-value pairs.
struct Pairs<'a> {
    out: &'a mut Formatter,
    result: io::Result<()>,
}

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        if is_null(&value) {
            return Ok(());
        }
        let (key, value) = (key.as_str(), value.to_string());
        self.result = write!(self.out, " {}={}", Escaped(key), Quoted(&value));
        match self.result {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::msg("the output failed")),
        }
    }
}

/// Whether there is no value, as of an `Option` that is `None`.
fn is_null(value: &Value<'_>) -> bool {
    struct IsNull(bool);
    impl<'v> VisitValue<'v> for &mut IsNull {
        fn visit_any(&mut self, _: Value<'_>) -> Result<(), Error> {
            Ok(())
        }

        fn visit_null(&mut self) -> Result<(), Error> {
            self.0 = true;
            Ok(())
        }
    }
    let mut is_null = IsNull(false);
    // The visitor never fails.
    let _ = value.visit(&mut is_null);
    is_null.0
}
