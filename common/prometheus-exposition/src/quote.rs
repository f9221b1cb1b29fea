//! Quotes and escapes of the text.

/// Appends a name or a label value in quotes.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text, true);
    out.push('"');
}

/// Appends a help text, in which quotes are not escaped.
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

/// What was escaped.
pub(crate) fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            plain => out.push(plain),
        }
    }
    out
}

/// Where the quote is that ends a quoted text, which begins behind its first quote.
pub(crate) fn end_of_quoted(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(index),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_read_again() {
        let mut quoted = String::new();
        push_quoted(&mut quoted, "a\"\\\nb");
        assert_eq!(quoted, r#""a\"\\\nb""#);
        assert_eq!(end_of_quoted(&quoted[1..]), Some(quoted.len() - 2));
        assert_eq!(unquote(&quoted[1..quoted.len() - 1]), "a\"\\\nb");
    }
}
