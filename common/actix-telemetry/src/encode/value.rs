//! `KeyValue` and `AnyValue`.

#[cfg(feature = "logs")]
use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, Key, Value};

use super::protobuf::{bytes, length_delimited, member_double, member_varint, message};

/// What is written as an `AnyValue`.
pub(super) trait AsAnyValue {
    /// Writes the one field of the `AnyValue`.
    fn write(&self, out: &mut Vec<u8>);
}

/// Writes a `KeyValue`.
pub(super) fn attribute(out: &mut Vec<u8>, tag: u32, key: &Key, value: &impl AsAnyValue) {
    message(out, tag, |out| {
        bytes(out, 1, key.as_str());
        any_value(out, 2, value);
    });
}

/// Writes an `AnyValue`.
pub(super) fn any_value(out: &mut Vec<u8>, tag: u32, value: &impl AsAnyValue) {
    message(out, tag, |out| value.write(out));
}

fn list<'a, T: AsAnyValue + 'a>(out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a T>) {
    message(out, 5, |out| {
        for value in values {
            any_value(out, 1, value);
        }
    });
}

impl AsAnyValue for str {
    fn write(&self, out: &mut Vec<u8>) {
        length_delimited(out, 1, self.as_bytes());
    }
}

impl AsAnyValue for bool {
    fn write(&self, out: &mut Vec<u8>) {
        member_varint(out, 2, u64::from(*self));
    }
}

impl AsAnyValue for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        // Two's complement, as protobuf has an `int64`.
        member_varint(out, 3, self.cast_unsigned());
    }
}

impl AsAnyValue for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        member_double(out, 4, *self);
    }
}

impl AsAnyValue for opentelemetry::StringValue {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl AsAnyValue for Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(value) => value.write(out),
            Self::I64(value) => value.write(out),
            Self::F64(value) => value.write(out),
            Self::String(text) => text.write(out),
            Self::Array(Array::Bool(values)) => list(out, values),
            Self::Array(Array::I64(values)) => list(out, values),
            Self::Array(Array::F64(values)) => list(out, values),
            Self::Array(Array::String(texts)) => list(out, texts),
            // There is no other kind yet.
            other => other.as_str().write(out),
        }
    }
}

#[cfg(feature = "logs")]
impl AsAnyValue for AnyValue {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(value) => value.write(out),
            Self::Double(value) => value.write(out),
            Self::String(text) => text.write(out),
            Self::Boolean(value) => value.write(out),
            Self::Bytes(bytes) => length_delimited(out, 7, bytes),
            Self::ListAny(values) => list(out, values.iter()),
            Self::Map(pairs) => message(out, 6, |out| {
                for (key, value) in pairs.iter() {
                    attribute(out, 1, key, value);
                }
            }),
            // There is no other kind yet.
            other => format!("{other:?}").write(out),
        }
    }
}
