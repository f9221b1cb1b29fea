//! The key of an entry: what Python's `json.dumps([family, sample, labels, help], sort_keys=True)`
//! writes.

use std::{borrow::Cow, fmt::Write};

/// The name and the value of a label.
pub(crate) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What a key says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// The name of the metric family.
    pub(crate) family: Cow<'a, str>,
    /// The name of the sample: the family's, with a suffix for most kinds.
    pub(crate) sample: Cow<'a, str>,
    /// Names and values, sorted by name.
    pub(crate) labels: Vec<Label<'a>>,
    pub(crate) help: Cow<'a, str>,
    /// See [`open`].
    pub(crate) is_open: bool,
}

impl<'a> Key<'a> {
    /// Reads a key; `None` if it is none.
    pub(crate) fn parse(key: &'a [u8]) -> Option<Key<'a>> {
        let is_open = key.starts_with(b"[ ");
        let mut reader = Reader {
            rest: std::str::from_utf8(key).ok()?,
        };
        reader.token("[")?;
        let family = reader.string()?;
        reader.token(",")?;
        let sample = reader.string()?;
        reader.token(",")?;
        let labels = reader.labels()?;
        reader.token(",")?;
        let help = reader.string()?;
        reader.token("]")?;
        let key = Key {
            family,
            sample,
            labels,
            help,
            is_open,
        };
        reader.rest.trim_ascii().is_empty().then_some(key)
    }
}

/// Reads JSON from the front of a text.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn token(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_ascii_start().strip_prefix(token)?;
        Some(())
    }

    fn labels(&mut self) -> Option<Vec<Label<'a>>> {
        let mut labels = Vec::new();
        self.token("{")?;
        if self.token("}").is_some() {
            return Some(labels);
        }
        loop {
            let name = self.string()?;
            self.token(":")?;
            labels.push((name, self.string()?));
            if self.token("}").is_some() {
                break;
            }
            self.token(",")?;
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            labels.sort();
            labels.dedup_by(|a, b| a.0 == b.0);
        }
        Some(labels)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.token("\"")?;
        let end = plain_length(self.rest.as_bytes())?;
        match self.rest.as_bytes()[end] {
            b'"' => {
                let (plain, rest) = self.rest.split_at(end);
                self.rest = &rest[1..];
                Some(Cow::Borrowed(plain))
            }
            b'\\' => self.escaped_string().map(Cow::Owned),
            // JSON has them escaped. What a crash of the machine leaves of a file may have them raw.
            _ => None,
        }
    }

    fn escaped_string(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.character()? {
                '"' => return Some(text),
                '\\' => text.push(self.escaped()?),
                '\0'..' ' => return None,
                plain => text.push(plain),
            }
        }
    }

    /// The character that the text behind a backslash stands for.
    fn escaped(&mut self) -> Option<char> {
        Some(match self.character()? {
            plain @ ('"' | '\\' | '/') => plain,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit()?;
                let mut units = vec![first];
                if (0xd800..0xdc00).contains(&first) {
                    self.rest = self.rest.strip_prefix("\\u")?;
                    units.push(self.unit()?);
                }
                // Half of a surrogate pair is no character. Python's own scrape fails at it.
                char::decode_utf16(units).next()?.ok()?
            }
            _ => return None,
        })
    }

    fn character(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next()?;
        self.rest = characters.as_str();
        Some(first)
    }

    fn unit(&mut self) -> Option<u16> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal.then(|| u16::from_str_radix(digits, 16).ok())?
    }
}

/// How many bytes come before the first one that ends a JSON string or cannot stand in it as it is.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return Some(8 * index + special.trailing_zeros() as usize / 8);
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    Some(bytes.len() - rest.len() + rest.iter().position(is_special)?)
}

/// Marks the quotes, backslashes and control characters in a word of eight bytes by their highest
/// bits. A byte above the lowest that is marked may be marked too.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    // A borrow goes up only from a byte that is below `limit`.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (equal(b'"') | equal(b'\\') | below(word, b' ')) & (ONES << 7)
}

/// Writes a key. `labels` come sorted by name; Python sorts by code point, which is the order of
/// the UTF-8 bytes too.
pub(crate) fn write<'a>(
    family: &str,
    sample: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    help: &str,
) -> String {
    let mut out = String::with_capacity(64 + help.len());
    out.push('[');
    push_string(&mut out, family);
    out.push_str(", ");
    push_string(&mut out, sample);
    out.push_str(", {");
    for (index, (name, value)) in labels.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        push_string(&mut out, name);
        out.push_str(": ");
        push_string(&mut out, value);
    }
    out.push_str("}, ");
    push_string(&mut out, help);
    out.push(']');
    out
}

/// Marks a key of a metric each of whose series has label names of its own, by a space that JSON
/// allows and Python does not write. Otherwise the label names of the newest series would be those
/// of the metric, and the series with others would not count.
pub(crate) fn open(mut key: String) -> String {
    key.insert(1, ' ');
    key
}

/// Python's `ensure_ascii`: all but printable ASCII is escaped, in UTF-16 units.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_python_writes_it() {
        let key = write(
            "c",
            "c_total",
            [("a", "z"), ("b", "\u{e9}\"\n\\\u{1f600}\u{7f}")],
            "h\u{e9}lp",
        );
        let python =
            r#"["c", "c_total", {"a": "z", "b": "\u00e9\"\n\\\ud83d\ude00\u007f"}, "h\u00e9lp"]"#;
        assert_eq!(key, python);
    }

    #[test]
    fn a_string_ends_at_its_first_special_byte() {
        let plain = "plain \u{7f}\u{e9}!#[]~ ".repeat(3);
        for length in (0..plain.len()).filter(|&length| plain.is_char_boundary(length)) {
            for special in ["\"", "\\", "\0", "\u{1f}"] {
                let text = format!("{}{special}\"{plain}", &plain[..length]);
                assert_eq!(plain_length(text.as_bytes()), Some(length), "{text:?}");
            }
        }
        assert_eq!(plain_length(plain.as_bytes()), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "[",
            "[]",
            r#"["a", "b", {}, "c""#,
            r#"["a", "b", {}, "c"] "#.trim_end_matches("] "),
            r#"["a", "b", {"x": 1}, "c"]"#,
            r#"["a", "b", {"x"}, "c"]"#,
            r#"["a", "b", {}, "c"]]"#,
            r#"["a", "b", {}, "\x"]"#,
            r#"["a", "b", {}, "\ud800"]"#,
            r#"["a", "b", {}, "\u+123"]"#,
            r#"["a", "b", {}, "\udc00"]"#,
            r#"["a", "b", {}, "\ud800\u0041"]"#,
            r#"["a", "b", {}, "\u00é"]"#,
        ] {
            assert_eq!(Key::parse(text.as_bytes()), None, "{text}");
        }
        for control in ["\0", "\n", "\u{1f}"] {
            for text in ["", "\\n"] {
                let key = format!(r#"["a", "b", {{"c": "x{control}{text}"}}, ""]"#);
                assert_eq!(Key::parse(key.as_bytes()), None, "{key:?}");
            }
        }
        assert_eq!(Key::parse(b"[\"a\", \"b\", {}, \"\xff\"]"), None);
    }
}
