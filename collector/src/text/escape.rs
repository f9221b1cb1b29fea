//! Escapes request data, so that a client cannot move the cursor, forge a line or hide text.

use std::fmt::Write;

/// Truncates the text to `max` characters and marks the cut with `…`. Control characters, line
/// separators and direction marks are escaped as in Rust.
pub(crate) fn escape(text: &str, max: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(max));
    for (index, character) in text.chars().enumerate() {
        if index == max {
            escaped.push('…');
            break;
        }
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            character if is_dangerous(character) => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// Like [`escape`], but adds quotes where the value would be ambiguous.
pub(crate) fn quote(text: &str, max: usize) -> String {
    let is_plain = !text.is_empty()
        && !text
            .chars()
            .any(|character| character.is_whitespace() || "\"\\=,{}".contains(character));
    let escaped = escape(text, max);
    if is_plain {
        escaped
    } else {
        format!("\"{}\"", escaped.replace('"', "\\\""))
    }
}

/// Control characters (C0, DEL, C1), line and paragraph separators, invisible characters and
/// direction marks (those of Unicode's category Cf that can mislead a reader).
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_and_direction_marks_become_visible() {
        assert_eq!(
            escape("a\x1b[31m\n\u{9b}\u{202e}b", 100),
            "a\\u{1b}[31m\\n\\u{9b}\\u{202e}b"
        );
    }

    #[test]
    fn a_long_text_is_cut_with_a_mark() {
        assert_eq!(escape("abcdef", 3), "abc…");
        assert_eq!(escape("abc", 3), "abc");
    }

    #[test]
    fn a_value_with_a_space_or_a_quote_is_quoted() {
        assert_eq!(quote("x, b=\"y", 100), "\"x, b=\\\"y\"");
        assert_eq!(quote("plain", 100), "plain");
        assert_eq!(quote("", 100), "\"\"");
    }
}
