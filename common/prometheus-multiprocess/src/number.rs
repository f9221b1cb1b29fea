//! Numbers as Python's client prints them in the text format 0.0.4.

/// Positive numbers from 10 to this power on have an exponent, as in Go.
const FIRST_EXPONENT: usize = 6;
/// Negative numbers from 10 to this power on have an exponent, as in Python.
const FIRST_NEGATIVE_EXPONENT: usize = 16;
/// Smaller numbers than 10 to minus this power have an exponent.
const LAST_PLAIN: usize = 4;
/// Below this every integer is a `f64`, and has no shorter digits than its own.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

/// Appends `value` as Python's `floatToGoString` prints it: `3.0`, `0.25`, `1e-05`,
/// `1.234567e+06`, `+Inf`, `NaN`.
pub(crate) fn push(out: &mut String, value: f64) {
    let whole = value as u64;
    if whole as f64 == value && value.is_sign_positive() && value < FIRST_INEXACT {
        let mut buffer = [0; 20];
        let digits = integer(whole, &mut buffer);
        if digits.len() <= FIRST_EXPONENT {
            // Most numbers of a scrape are such.
            out.push_str(digits);
            out.push_str(".0");
        } else {
            layout(out, "", digits, digits.len() as i32);
        }
    } else if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        push_general(out, value);
    }
}

/// The digits of an integer.
fn integer(mut rest: u64, buffer: &mut [u8; 20]) -> &str {
    let mut first = buffer.len();
    loop {
        first -= 1;
        buffer[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    // Digits are ASCII, so this is never the empty string.
    std::str::from_utf8(&buffer[first..]).unwrap_or_default()
}

/// Appends any finite number.
///
/// `zmij` finds the same shortest digits as Python's `repr`, to the last one: of two that are
/// equally near it takes the even one, which Rust's own formatting does not.
fn push_general(out: &mut String, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let unsigned = text.trim_start_matches('-');
    let sign = &text[..text.len() - unsigned.len()];
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let zeros = (digits.len() - significant.len()) as i32;
    let point = whole.len() as i32 - zeros + exponent.parse().unwrap_or(0);
    match significant {
        "" => layout(out, sign, "0", 1),
        _ => layout(out, sign, significant, point),
    }
}

/// Appends a number of which `point` digits are before the point.
fn layout(out: &mut String, sign: &str, digits: &str, point: i32) {
    let first_exponent = match sign {
        "" => FIRST_EXPONENT,
        _ => FIRST_NEGATIVE_EXPONENT,
    };
    out.push_str(sign);
    match usize::try_from(point) {
        Ok(whole @ 1..) if whole <= first_exponent => match digits.split_at_checked(whole) {
            Some((whole, fraction)) => {
                let fraction = fraction.trim_end_matches('0');
                out.push_str(whole);
                out.push('.');
                out.push_str(if fraction.is_empty() { "0" } else { fraction });
            }
            None => {
                out.push_str(digits);
                out.extend(std::iter::repeat_n('0', whole - digits.len()));
                out.push_str(".0");
            }
        },
        _ if (-(LAST_PLAIN as i32) + 1..=0).contains(&point) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
            out.push_str(digits.trim_end_matches('0'));
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let rest = rest.trim_end_matches('0');
            out.push_str(first);
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
            let exponent = point - 1;
            out.push_str(if exponent < 0 { "e-" } else { "e+" });
            if exponent.abs() < 10 {
                out.push('0');
            }
            out.push_str(integer(exponent.unsigned_abs().into(), &mut [0; 20]));
        }
    }
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
