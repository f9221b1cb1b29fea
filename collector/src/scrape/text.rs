//! Reads the text formats of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::{BTreeMap, HashMap};

/// A line with a value.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: String,
    /// Sorted by name, without empty ones: to Prometheus they are as good as absent.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
    /// `counter`, `gauge`, `histogram`, `summary` or something else.
    pub(super) kind: &'a str,
    /// The name of the family: that of the sample without the suffix of its kind.
    pub(super) family: String,
}

/// The samples of a text. Lines that are none are left out.
pub(super) fn samples(text: &str) -> Vec<Sample<'_>> {
    let mut kinds = HashMap::<String, &str>::new();
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if let Some((name, kind)) = comment.trim_start().strip_prefix("TYPE ").and_then(of_type)
            {
                kinds.insert(name, kind);
            }
            continue;
        }
        let Some((name, labels, value)) = sample(line) else {
            continue;
        };
        let family = |suffix: &str| {
            let base = name.strip_suffix(suffix)?;
            let kind = *kinds.get(base)?;
            let suffixes: &[&str] = match kind {
                "histogram" => &["_bucket", "_count", "_sum"],
                "summary" => &["", "_count", "_sum"],
                // OpenMetrics has the suffix in the sample alone.
                "counter" => &["", "_total"],
                _ => &[""],
            };
            suffixes.contains(&suffix).then(|| (base.to_owned(), kind))
        };
        let found = ["", "_total", "_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(family);
        let (family, kind) = found.unwrap_or_else(|| (name.clone(), "unknown"));
        samples.push(Sample {
            name,
            labels,
            value,
            kind,
            family,
        });
    }
    samples
}

/// The name and the kind of a `TYPE` line.
fn of_type(line: &str) -> Option<(String, &str)> {
    let mut rest = line;
    let name = match rest.starts_with('"') {
        true => quoted(&mut rest)?,
        false => take_until(&mut rest, " ")?,
    };
    Some((name, rest.trim()))
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let mut rest = line.trim();
    let mut name = take_until(&mut rest, "{ ")?;
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let label = match rest.starts_with('"') {
                true => quoted(&mut rest)?,
                false => take_until(&mut rest, "=")?,
            };
            match rest.strip_prefix('=') {
                Some(after) => {
                    rest = after;
                    let value = quoted(&mut rest)?;
                    if !value.is_empty() {
                        labels.insert(label, value);
                    }
                }
                // A name that needs quotes is within the braces.
                None => name = label,
            }
        }
    }
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        value => value.parse().ok()?,
    };
    (!name.is_empty()).then_some((name, labels, value))
}

/// Takes what is in front of one of these characters.
fn take_until(rest: &mut &str, ends: &str) -> Option<String> {
    let (taken, after) = rest.split_at(rest.find(|c| ends.contains(c))?);
    *rest = after;
    Some(taken.trim().to_owned())
}

/// Takes a text in quotes, without its escapes.
fn quoted(rest: &mut &str) -> Option<String> {
    let inner = rest.strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = inner.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => {
                *rest = &inner[index + 1..];
                return Some(text);
            }
            '\\' => match characters.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_family_and_others_are_left_out() {
        let text = concat!(
            "# HELP a Help\n# TYPE a_total counter\na_total{x=\"1\",y=\"\"} 3 1700000000\n",
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum NaN\nh_other 1\n",
            "# TYPE \"b.c\" gauge\n{\"b.c\",\"d e\"=\"f\\\"}\\n,g\"} -1e3\n",
            "# TYPE o counter\no_total 1 # {trace_id=\"ab\"} 1\n",
            "nonsense\n{ 1\na{b} \na{b=\"c} 1\n\n# EOF\n",
        );
        let found: Vec<_> = samples(text)
            .into_iter()
            .map(|sample| (sample.name, sample.kind, sample.family))
            .collect();
        let expected = [
            ("a_total", "counter", "a_total"),
            ("h_bucket", "histogram", "h"),
            ("h_count", "histogram", "h"),
            ("h_sum", "histogram", "h"),
            ("h_other", "unknown", "h_other"),
            ("b.c", "gauge", "b.c"),
            ("o_total", "counter", "o"),
        ];
        let expected = expected.map(|(name, kind, family)| (name.into(), kind, family.into()));
        assert_eq!(found, expected);
        let labels = &samples(text)[5].labels;
        assert_eq!(labels.get("d e").map(String::as_str), Some("f\"}\n,g"));
        assert_eq!(samples(text)[0].labels.len(), 1, "the empty one is absent");
    }
}
