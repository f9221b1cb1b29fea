//! Text as a terminal may show it: what a client sent can neither move the cursor nor
//! forge a line nor hide text.

use std::fmt::{self, Write};

/// Shows a text without control characters, line separators and marks that turn
/// the writing direction; those are written as Rust writes them.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (index, character) in self.0.char_indices() {
            if !is_dangerous(character) {
                continue;
            }
            out.write_str(&self.0[plain..index])?;
            write!(out, "{}", character.escape_default())?;
            plain = index + character.len_utf8();
        }
        out.write_str(&self.0[plain..])
    }
}

/// Shows a value, in quotes where it could be taken for something else.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |character: char| !character.is_whitespace() && !"\"\\=".contains(character);
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return Escaped(self.0).fmt(out);
        }
        out.write_char('"')?;
        for part in self.0.split_inclusive(['"', '\\']) {
            let text = part.trim_end_matches(['"', '\\']);
            Escaped(text).fmt(out)?;
            for character in part[text.len()..].chars() {
                write!(out, "\\{character}")?;
            }
        }
        out.write_char('"')
    }
}

/// Controls (C0, DEL, C1), line and paragraph separators, invisible characters and
/// direction marks (Unicode's category Cf as far as it can mislead a reader).
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
            Escaped("a\x1b[31m\r\n\u{9b}\u{202e}b é").to_string(),
            "a\\u{1b}[31m\\r\\n\\u{9b}\\u{202e}b é"
        );
    }

    #[test]
    fn a_value_with_a_space_or_a_quote_cannot_pass_for_two() {
        assert_eq!(Quoted("x b=\"y\\").to_string(), r#""x b=\"y\\""#);
        assert_eq!(Quoted("a\nb").to_string(), r#""a\nb""#);
        assert_eq!(Quoted("plain").to_string(), "plain");
        assert_eq!(Quoted("").to_string(), "\"\"");
    }
}
