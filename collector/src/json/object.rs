//! Writes a JSON object field by field, and leaves out default values.

use std::fmt::Write;

use crate::attribute;

pub(super) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl Object<'_> {
    pub(super) fn write(out: &mut String, fields: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        fields(&mut Object {
            out,
            is_empty: true,
        });
        out.push('}');
    }

    /// A message, written even if it is empty.
    pub(super) fn object(&mut self, name: &str, fields: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.field(name), fields);
    }

    /// Repeated messages.
    pub(super) fn list<T>(&mut self, name: &str, items: &[T], fields: fn(&T, &mut Object<'_>)) {
        if !items.is_empty() {
            self.array(name, items, |item, out| {
                Object::write(out, |object| fields(item, object));
            });
        }
    }

    /// Repeated values, written even if there are none.
    pub(super) fn array<T>(&mut self, name: &str, items: &[T], value: impl Fn(&T, &mut String)) {
        let out = self.field(name);
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            value(item, out);
        }
        out.push(']');
    }

    pub(super) fn strings(&mut self, name: &str, items: &[String]) {
        if !items.is_empty() {
            self.array(name, items, |item, out| string(item, out));
        }
    }

    pub(super) fn longs(&mut self, name: &str, items: &[u64]) {
        if !items.is_empty() {
            self.array(name, items, quoted);
        }
    }

    pub(super) fn doubles(&mut self, name: &str, items: &[f64]) {
        if !items.is_empty() {
            self.array(name, items, |item, out| double(*item, out));
        }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.always_text(name, value);
        }
    }

    pub(super) fn always_text(&mut self, name: &str, value: &str) {
        string(value, self.field(name));
    }

    pub(super) fn hex(&mut self, name: &str, id: &[u8]) {
        self.text(name, &attribute::hex(id));
    }

    pub(super) fn bool(&mut self, name: &str, value: bool) {
        if value {
            self.always_plain(name, value);
        }
    }

    /// A 32-bit integer or an enum.
    pub(super) fn int(&mut self, name: &str, value: impl Into<i64>) {
        let value = value.into();
        if value != 0 {
            self.always_plain(name, value);
        }
    }

    /// A 64-bit integer, which JSON numbers cannot hold exactly.
    pub(super) fn long(&mut self, name: &str, value: u64) {
        if value != 0 {
            self.always_long(name, value);
        }
    }

    pub(super) fn always_long(&mut self, name: &str, value: impl ToString) {
        quoted(&value, self.field(name));
    }

    pub(super) fn double(&mut self, name: &str, value: f64) {
        if value != 0.0 {
            self.always_double(name, value);
        }
    }

    pub(super) fn optional_double(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.always_double(name, value);
        }
    }

    pub(super) fn always_double(&mut self, name: &str, value: f64) {
        double(value, self.field(name));
    }

    /// A value whose text is already JSON: a boolean or a small integer.
    pub(super) fn always_plain(&mut self, name: &str, value: impl ToString) {
        self.field(name).push_str(&value.to_string());
    }

    fn field(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        // Writing to a string cannot fail, and the names need no escaping.
        let _ = write!(self.out, "\"{name}\":");
        self.out
    }
}

fn string(value: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(value).to_string());
}

fn quoted(value: &impl ToString, out: &mut String) {
    string(&value.to_string(), out);
}

/// Protobuf's JSON mapping writes infinities and NaN as strings, because JSON has no such numbers.
fn double(value: f64, out: &mut String) {
    if value.is_nan() {
        string("NaN", out);
    } else if value.is_infinite() {
        string(if value > 0.0 { "Infinity" } else { "-Infinity" }, out);
    } else if value.fract() == 0.0 && value.abs() < 1e15 {
        // The Collector writes 3, not 3.0.
        let _ = write!(out, "{value:.0}");
    } else {
        out.push_str(&serde_json::Value::from(value).to_string());
    }
}
