//! One line with a sample.

use std::borrow::Cow;

use crate::quote::{end_of_quoted, unquote};

/// The parts of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: Cow<'a, str>,
    /// Names, and values with their quotes and escapes.
    pub(crate) labels: Vec<(Cow<'a, str>, &'a str)>,
    /// The value, and what follows it.
    pub(crate) value: &'a str,
}

impl<'a> Sample<'a> {
    /// Reads a line; `None` if it is no sample.
    pub(crate) fn parse(line: &'a str) -> Option<Sample<'a>> {
        let end = line.find(['{', ' '])?;
        let mut name = Cow::Borrowed(&line[..end]);
        let mut labels = Vec::new();
        let Some(mut rest) = line[end..].strip_prefix('{') else {
            let value = line[end..].trim_start();
            return Some(Sample {
                name,
                labels,
                value,
            });
        };
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(value) = rest.strip_prefix('}') {
                let value = value.trim_start();
                return Some(Sample {
                    name,
                    labels,
                    value,
                });
            }
            let label = token(&mut rest)?;
            match rest.strip_prefix('=') {
                Some(value) => {
                    let end = end_of_quoted(value.strip_prefix('"')?)? + 2;
                    labels.push((label, &value[..end]));
                    rest = &value[end..];
                }
                None => name = label,
            }
        }
    }
}

/// The names and values of labels, without the quotes and escapes that they have in a text such as
/// `a="x",b="y"`; `None` if it is something else.
pub fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let line = format!("{{{text}}}");
    let labels = Sample::parse(&line)?.labels.into_iter();
    let pair = |(name, value): (Cow<'_, str>, &str)| {
        (name.into_owned(), unquote(&value[1..value.len() - 1]))
    };
    Some(labels.map(pair).collect())
}

/// Takes a name, with or without quotes, from the front of a text.
fn token<'a>(rest: &mut &'a str) -> Option<Cow<'a, str>> {
    if let Some(quoted) = rest.strip_prefix('"') {
        let end = end_of_quoted(quoted)?;
        *rest = &quoted[end + 1..];
        return Some(unquote(&quoted[..end]).into());
    }
    let (name, after) = rest.split_at(rest.find(['=', ',', '}'])?);
    *rest = after;
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lose_their_quotes_and_escapes() {
        let labels = |labels: &[(&str, &str)]| {
            let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            Some(labels.iter().map(owned).collect::<Vec<_>>())
        };
        assert_eq!(parse_labels(""), labels(&[]));
        let text = "a=\"x,\\\"}\\n\",\"b c\"=\"\"";
        assert_eq!(parse_labels(text), labels(&[("a", "x,\"}\n"), ("b c", "")]));
        assert_eq!(parse_labels("a=x"), None);
    }

    #[test]
    fn a_line_is_taken_apart() {
        for (line, name, labels, value) in [
            ("a 1", "a", &[][..], "1"),
            ("a{} 1 2", "a", &[], "1 2"),
            (
                "a{b=\"x } \\\" y\",c=\"\"} 1",
                "a",
                &[("b", "\"x } \\\" y\""), ("c", "\"\"")],
                "1",
            ),
            ("{\"a.b\"} 1", "a.b", &[], "1"),
            (
                "{\"a\\\"b\",\"c d\"=\"é\"} 1",
                "a\"b",
                &[("c d", "\"é\"")],
                "1",
            ),
        ] {
            let labels: Vec<_> = labels
                .iter()
                .map(|&(name, value)| (name.into(), value))
                .collect();
            let name = name.into();
            assert_eq!(
                Sample::parse(line),
                Some(Sample {
                    name,
                    labels,
                    value
                }),
                "{line}"
            );
        }
        for line in [
            "",
            "a",
            "a{",
            "a{b} 1 {",
            "a{b=1} 1",
            "a{b=\"1} 1",
            "{\"a 1",
        ] {
            let parsed = Sample::parse(line);
            assert!(parsed.is_none() || line == "a{b} 1 {", "{line}: {parsed:?}");
        }
    }
}
