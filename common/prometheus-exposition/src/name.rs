//! Names of metrics and labels, and how they are escaped.

use std::fmt::Write as _;

use crate::format::Escaping;

/// Whether a metric may have this name without quotes.
pub fn is_metric_name(name: &str) -> bool {
    is_plain(name, true)
}

/// Whether a label may have this name without quotes.
pub fn is_label_name(name: &str) -> bool {
    is_plain(name, false)
}

fn is_plain(name: &str, colons: bool) -> bool {
    let is_fine = |(index, byte)| fits(char::from(byte), index, colons);
    !name.is_empty() && name.bytes().enumerate().all(is_fine)
}

fn fits(character: char, index: usize, colons: bool) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '0'..='9' => index > 0,
        ':' => colons,
        _ => false,
    }
}

/// A name as an escaping scheme writes it. A name that does not have to be escaped stays as it is,
/// except with [`Escaping::Dots`].
pub(crate) fn escape(name: &str, escaping: Escaping, colons: bool) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    if escaping == Escaping::AllowUtf8 || escaping != Escaping::Dots && is_plain(name, colons) {
        return name.to_owned();
    }
    let mut out = String::with_capacity(2 * name.len());
    if escaping == Escaping::Values {
        out.push_str("U__");
    }
    for (index, character) in name.chars().enumerate() {
        match (escaping, character) {
            (Escaping::Dots | Escaping::Values, '_') => out.push_str("__"),
            (Escaping::Dots, '.') => out.push_str("_dot_"),
            _ if fits(character, index, colons) => out.push(character),
            (Escaping::Dots, _) => out.push_str("__"),
            (Escaping::Values, _) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "_{:x}_", u32::from(character));
            }
            _ => out.push('_'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_prometheus_escapes_them() {
        // Mostly from the tests of `model.EscapeName` in prometheus/common.
        for (name, underscores, dots, values) in [
            ("", "_", "_", "_"),
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping__required",
                "no:escaping_required",
            ),
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "http.status:sum",
                "http_status:sum",
                "http_dot_status:sum",
                "U__http_2e_status:sum",
            ),
            (
                "label with 😱",
                "label_with__",
                "label__with____",
                "U__label_20_with_20__1f631_",
            ),
            ("花火", "__", "____", "U___82b1__706b_"),
            ("1st", "_st", "__st", "U___31_st"),
        ] {
            assert_eq!(escape(name, Escaping::Underscores, true), underscores);
            assert_eq!(escape(name, Escaping::Dots, true), dots);
            assert_eq!(escape(name, Escaping::Values, true), values);
        }
        assert_eq!(escape("a:b", Escaping::Underscores, false), "a_b");
    }
}
