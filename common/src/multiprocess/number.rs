//! Numbers and strings as Python's client prints them in the text format 0.0.4.

use std::fmt::Write;

/// Positive numbers from this on are printed with an exponent, as in Go.
const FIRST_EXPONENT: f64 = 1e6;
/// Below this Python prints an exponent.
const SMALLEST_PLAIN: f64 = 1e-4;

/// Appends `value` as Python's `floatToGoString` prints it: `3.0`, `0.25`, `1e-05`,
/// `1.234567e+06`, `+Inf`, `NaN`.
pub(super) fn push(out: &mut String, value: f64) {
    if value.fract() == 0.0 && (0.0..FIRST_EXPONENT).contains(&value) && value.is_sign_positive() {
        push_integer(out, value as u32);
        out.push_str(".0");
    } else if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push_general(out, value);
    }
}

/// Appends decimal digits; this is most of what a scrape does, so it is done by hand.
fn push_integer(out: &mut String, mut number: u32) {
    let mut digits = [0_u8; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    // Digits are ASCII, so this is never the empty string.
    out.push_str(std::str::from_utf8(&digits[first..]).unwrap_or_default());
}

/// Python's `repr`, where positive numbers from 1e6 on have an exponent.
///
/// `zmij` finds the same shortest digits, to the last one: of two that are equally near it
/// takes the even one, which Rust's own formatting does not.
fn push_general(out: &mut String, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let unsigned = text.trim_start_matches('-');
    let point = unsigned.find('.');
    if let Some((mantissa, exponent)) = text.split_once('e') {
        let (sign, digits) = exponent.split_at(1);
        push_exponent(out, mantissa, sign, digits.parse().unwrap_or(0));
    } else if value != 0.0 && value.abs() < SMALLEST_PLAIN {
        // Such as 0.000012: the digits behind the zeros.
        let digits = unsigned.trim_start_matches(['0', '.']);
        let exponent = unsigned.len() - "0.".len() - digits.len() + 1;
        out.push_str(&text[..text.len() - unsigned.len()]);
        push_exponent(out, &mantissa(digits), "-", exponent);
    } else if let Some(point) = point.filter(|_| value >= FIRST_EXPONENT) {
        let digits = text.replace('.', "");
        push_exponent(out, &mantissa(digits.trim_end_matches('0')), "+", point - 1);
    } else {
        out.push_str(text);
    }
}

/// Digits with a point behind the first one, unless that is all.
fn mantissa(digits: &str) -> String {
    match digits.split_at_checked(1) {
        Some((first, rest)) if !rest.is_empty() => format!("{first}.{rest}"),
        _ => digits.to_owned(),
    }
}

fn push_exponent(out: &mut String, mantissa: &str, sign: &str, exponent: usize) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{mantissa}e{sign}{exponent:02}");
}

/// Appends a label value with the escapes of the text format.
pub(super) fn push_label_value(out: &mut String, value: &str) {
    push_escaped(out, value, true);
}

/// Appends a help text with the escapes of the text format.
pub(super) fn push_help(out: &mut String, help: &str) {
    push_escaped(out, help, false);
}

fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let mut plain = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'"' if quotes => "\\\"",
            _ => continue,
        };
        out.push_str(&text[plain..index]);
        out.push_str(escaped);
        plain = index + 1;
    }
    out.push_str(&text[plain..]);
}

/// Appends a metric or label name, with an underscore for every character that a name
/// may not have, as Python's client does; nothing that a file holds can forge a line.
pub(super) fn push_name(out: &mut String, name: &str, colons: bool) {
    out.extend(name.chars().enumerate().map(|(index, character)| {
        let fits = character.is_ascii_alphabetic()
            || character == '_'
            || (character == ':' && colons)
            || (character.is_ascii_digit() && index > 0);
        if fits { character } else { '_' }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: f64) -> String {
        let mut out = String::new();
        push(&mut out, value);
        out
    }

    #[test]
    fn numbers_are_printed_as_python_prints_them() {
        // Left: what `floatToGoString` of prometheus_client 0.26.0 gives.
        for (expected, value) in [
            ("0.0", 0.0),
            ("-0.0", -0.0),
            ("3.0", 3.0),
            ("0.25", 0.25),
            ("999999.0", 999_999.0),
            ("1e+06", 1e6),
            ("1.234567e+06", 1_234_567.0),
            ("1.2345678e+07", 12_345_678.0),
            ("123456.789", 123_456.789),
            ("1.2345678901e+06", 1_234_567.8901),
            ("9.007199254740992e+15", 9_007_199_254_740_992.0),
            ("1e+16", 1e16),
            ("1.5e+300", 1.5e300),
            ("-1234567.0", -1_234_567.0),
            ("-1e+16", -1e16),
            ("0.0001", 1e-4),
            ("1e-05", 1e-5),
            ("1.25e-05", 1.25e-5),
            ("-1.25e-05", -1.25e-5),
            ("1.25e-07", 1.25e-7),
            ("851511.5825195312", 851_511.582_519_531_25),
            ("5e-324", 5e-324),
            ("+Inf", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
            ("NaN", f64::NAN),
        ] {
            assert_eq!(printed(value), expected);
        }
    }
}
