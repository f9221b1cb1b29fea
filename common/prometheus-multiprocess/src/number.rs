//! Numbers and strings as Python's client prints them in the text format 0.0.4.

/// Positive numbers from this on are printed with an exponent, as in Go.
const FIRST_EXPONENT: f64 = 1e6;
/// Below this Python prints an exponent.
const SMALLEST_PLAIN: f64 = 1e-4;
/// Below this every integer is a `f64`, and has no shorter digits than its own.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

/// Appends `value` as Python's `floatToGoString` prints it: `3.0`, `0.25`, `1e-05`,
/// `1.234567e+06`, `+Inf`, `NaN`.
pub(crate) fn push(out: &mut String, value: f64) {
    if value.fract() == 0.0 && value.is_sign_positive() && value < FIRST_INEXACT {
        push_integer(out, value as u64);
    } else if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push_general(out, value);
    }
}

/// Most numbers of a scrape are integers, so this is much of what it does.
fn push_integer(out: &mut String, number: u64) {
    let mut buffer = [0_u8; 20];
    let mut first = buffer.len();
    let mut rest = number;
    loop {
        first -= 1;
        buffer[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // Digits are ASCII, so this is never the empty string.
    let digits = std::str::from_utf8(&buffer[first..]).unwrap_or_default();
    if (number as f64) < FIRST_EXPONENT {
        out.push_str(digits);
        out.push_str(".0");
    } else {
        push_scientific(
            out,
            [digits.trim_end_matches('0'), ""],
            '+',
            digits.len() - 1,
        );
    }
}

/// Python's `repr`, where positive numbers from 1e6 on have an exponent.
///
/// `zmij` finds the same shortest digits, to the last one: of two that are equally near it
/// takes the even one, which Rust's own formatting does not.
fn push_general(out: &mut String, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let unsigned = text.trim_start_matches('-');
    if let Some((mantissa, exponent)) = text.split_once('e') {
        let (sign, digits) = exponent.split_at(1);
        out.push_str(mantissa);
        push_exponent(
            out,
            if sign == "-" { '-' } else { '+' },
            digits.parse().unwrap_or(0),
        );
    } else if value != 0.0 && value.abs() < SMALLEST_PLAIN {
        // Such as 0.000012: the digits behind the zeros.
        let digits = unsigned.trim_start_matches(['0', '.']);
        out.push_str(&text[..text.len() - unsigned.len()]);
        push_scientific(
            out,
            [digits, ""],
            '-',
            unsigned.len() - "0.".len() - digits.len() + 1,
        );
    } else if let Some((whole, fraction)) = text.split_once('.').filter(|_| value >= FIRST_EXPONENT)
    {
        // From 2^53 on there are integers here.
        let (whole_digits, fraction) = match fraction {
            "0" => (whole.trim_end_matches('0'), ""),
            _ => (whole, fraction),
        };
        push_scientific(out, [whole_digits, fraction], '+', whole.len() - 1);
    } else {
        out.push_str(text);
    }
}

/// Appends digits, which come in two parts, with a point behind the first one, and an exponent.
fn push_scientific(out: &mut String, digits: [&str; 2], sign: char, exponent: usize) {
    let (first, rest) = digits[0].split_at(1);
    out.push_str(first);
    if !(rest.is_empty() && digits[1].is_empty()) {
        out.push('.');
        out.push_str(rest);
        out.push_str(digits[1]);
    }
    push_exponent(out, sign, exponent);
}

/// Appends an exponent of at least two digits.
fn push_exponent(out: &mut String, sign: char, exponent: usize) {
    out.push('e');
    out.push(sign);
    if exponent >= 100 {
        out.push(char::from(b'0' + (exponent / 100) as u8));
    }
    out.push(char::from(b'0' + (exponent / 10 % 10) as u8));
    out.push(char::from(b'0' + (exponent % 10) as u8));
}

/// Appends a label value with the escapes of the text format.
pub(crate) fn push_label_value(out: &mut String, value: &str) {
    push_escaped(out, value, true);
}

/// Appends a help text with the escapes of the text format.
pub(crate) fn push_help(out: &mut String, help: &str) {
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
pub(crate) fn push_name(out: &mut String, name: &str, colons: bool) {
    // Most names are fine as they are.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.bytes().all(plain) && !name.starts_with(|first: char| first.is_ascii_digit()) {
        out.push_str(name);
        return;
    }
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
            ("1.2345678901e+06", 1_234_567.890_1),
            ("9.007199254740992e+15", 9_007_199_254_740_992.0),
            ("9.99999999999999e+15", 9_999_999_999_999_990.0),
            ("1.2e+10", 1.2e10),
            ("1e+16", 1e16),
            ("1.5e+300", 1.5e300),
            ("-1234567.0", -1_234_567.0),
            ("-1e+16", -1e16),
            ("0.0001", 1e-4),
            ("1e-05", 1e-5),
            ("1.25e-05", 1.25e-5),
            ("-1.25e-05", -1.25e-5),
            ("1.25e-07", 1.25e-7),
            ("851511.5825195312", 851_511.582_519_531_2),
            ("5e-324", 5e-324),
            ("+Inf", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
            ("NaN", f64::NAN),
        ] {
            assert_eq!(printed(value), expected);
        }
    }
}
