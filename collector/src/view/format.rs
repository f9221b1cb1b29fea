//! Numbers, times and texts as a reader wants them.

use crate::text::escape::escape;

/// Longest text on the page, in characters.
const MAX_TEXT: usize = 300;

/// Text that was received: cut, with control characters and direction marks made visible. The
/// templates escape what HTML needs.
pub(super) fn text(received: &str) -> String {
    escape(received, MAX_TEXT)
}

/// A duration with three digits.
pub(super) fn seconds(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "µs"),
    };
    format!("{} {unit}", digits(value))
}

/// How long something has lasted.
pub(super) fn age(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3_600.0),
    }
}

/// A number with at most three digits behind a magnitude.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    match value.abs() {
        v if v >= 1e9 => format!("{} G", digits(value / 1e9)),
        v if v >= 1e7 => format!("{} M", digits(value / 1e6)),
        v if v >= 1e3 && value.fract() == 0.0 => thousands(value),
        _ => digits(value),
    }
}

fn thousands(value: f64) -> String {
    let whole = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{}{text}", if value < 0.0 { "−" } else { "" })
}

fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.01 || v == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The time of a day in UTC, to the millisecond.
pub(super) fn clock(unix: f64) -> String {
    let milliseconds = (unix * 1e3).max(0.0) as u64 % 86_400_000;
    let seconds = milliseconds / 1_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}",
        seconds % 60,
        milliseconds % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(seconds(0.000_482), "482 µs");
        assert_eq!(seconds(0.0124), "12.4 ms");
        assert_eq!(seconds(1.0), "1 s");
        assert_eq!(number(184_210.0), "184,210");
        assert_eq!(number(0.009), "0.009");
        assert_eq!(number(12.5), "12.5");
        assert_eq!(number(23_456_789.0), "23.5 M");
        assert_eq!(age(75.0), "75 s");
        assert_eq!(clock(1_795_344_990.083), "10:56:30.083");
    }
}
