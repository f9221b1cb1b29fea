//! The families of a text.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::{
    name::is_metric_name,
    quote::{end_of_quoted, unquote},
};

/// The lines of one family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Family<'a> {
    /// As it stands in the `# TYPE` line, without quotes and escapes; empty if there is no such line.
    pub(crate) name: Cow<'a, str>,
    /// With the escapes of the text.
    pub(crate) help: Option<&'a str>,
    pub(crate) kind: &'a str,
    /// The lines of the samples.
    pub(crate) samples: &'a str,
}

impl Family<'_> {
    /// The name without the suffix of a counter.
    pub(crate) fn base(&self) -> &str {
        match (self.kind, self.name.strip_suffix("_total")) {
            ("counter", Some(base)) if !base.is_empty() => base,
            _ => &self.name,
        }
    }

    /// What follows the base in the names of the samples.
    pub(crate) fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            "counter" if self.base() != self.name => &["_total"],
            "histogram" => &["", "_bucket", "_count", "_sum"],
            "summary" => &["", "_count", "_sum"],
            _ => &[""],
        }
    }

    /// Whether this is the name of the family or of one of its samples.
    pub(crate) fn has(&self, name: &str) -> bool {
        let suffix = name.strip_prefix(self.base());
        name == self.base() || suffix.is_some_and(|suffix| self.suffixes().contains(&suffix))
    }
}

/// Splits a text into families. Comments are left out.
pub(crate) fn parse(text: &str) -> Vec<Family<'_>> {
    let mut families = Vec::new();
    // Faster than `str::find`, and this is most of the work.
    let samples_end = Finder::new("\n#");
    let mut family = Family::default();
    let mut rest = text;
    while !rest.is_empty() {
        let line = match rest.starts_with('#') {
            true => rest.find('\n').unwrap_or(rest.len()),
            // All samples at once: no line of them begins like that.
            false => samples_end.find(rest.as_bytes()).unwrap_or(rest.len()),
        };
        let end = (line + 1).min(rest.len());
        let lines = &rest[..end];
        rest = &rest[end..];
        let Some(comment) = lines.strip_prefix('#') else {
            family.samples = lines;
            families.push(std::mem::take(&mut family));
            continue;
        };
        let Some((keyword, name, value)) = header(comment.trim_end_matches('\n')) else {
            continue;
        };
        if family.name != name {
            let next = Family {
                name,
                ..Family::default()
            };
            families.push(std::mem::replace(&mut family, next));
        }
        match keyword {
            "HELP" => family.help = Some(value),
            _ => family.kind = value,
        }
    }
    families.push(family);
    // Between two families is nothing. One without samples says at least what it is.
    families.retain(|family| *family != Family::default());
    families
}

/// The keyword, the name and the value of a `# HELP` or `# TYPE` line.
fn header(comment: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (keyword, rest) = comment.trim_start().split_once(' ')?;
    if !matches!(keyword, "HELP" | "TYPE") {
        return None;
    }
    if let Some(rest) = rest.strip_prefix('"') {
        let end = end_of_quoted(rest)?;
        let value = rest[end + 1..].strip_prefix(' ').unwrap_or_default();
        return Some((keyword, unquote(&rest[..end]).into(), value));
    }
    let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
    is_metric_name(name).then_some((keyword, name.into(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_into_families() {
        let text = concat!(
            "# a comment\n",
            "# HELP a_total Help \\\\ text\n# TYPE a_total counter\na_total{b=\"# c\"} 1\na_total 2\n",
            "# HELP empty Without samples\n# TYPE empty gauge\n",
            "# TYPE \"d \\\"e\" gauge\n{\"d \\\"e\"} 3\n",
            "plain 4\n"
        );
        let families = parse(text);
        let found: Vec<_> = families
            .iter()
            .map(|family| (family.base(), family.kind, family.help, family.samples))
            .collect();
        let samples = "{\"d \\\"e\"} 3\nplain 4\n";
        assert_eq!(
            found,
            [
                (
                    "a",
                    "counter",
                    Some("Help \\\\ text"),
                    "a_total{b=\"# c\"} 1\na_total 2\n"
                ),
                ("empty", "gauge", Some("Without samples"), ""),
                ("d \"e", "gauge", None, samples),
            ]
        );
        assert!(families[0].has("a") && families[0].has("a_total") && !families[0].has("a_sum"));
    }
}
