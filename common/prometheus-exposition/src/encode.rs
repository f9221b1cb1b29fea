//! Writes a text in another format.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::{
    family::{self, Family},
    format::{Escaping, Format, Syntax},
    header::push_line,
    name::escape,
    names::{Names, label_names},
    sample::Sample,
};

/// The text in a format, with those families that have one of the names, or all if there is none.
pub(crate) fn encode(text: String, format: Format, only: &[String]) -> String {
    let escaping = format.escaping.unwrap_or_default();
    let is_same = match escaping {
        Escaping::AllowUtf8 => true,
        Escaping::Dots => false,
        Escaping::Underscores | Escaping::Values => !has_quoted_names(&text),
    };
    if format.syntax != Syntax::OpenMetrics && is_same && only.is_empty() {
        return text;
    }
    let families = family::parse(&text);
    let names = Names::new(&families, escaping);
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (index, family) in families.iter().enumerate() {
        let is_wanted = |name: &String| {
            let suffix = name.strip_prefix(names.base(index));
            family.has(name) || suffix.is_some_and(|suffix| family.suffixes().contains(&suffix))
        };
        if !only.is_empty() && !only.iter().any(is_wanted) {
            continue;
        }
        let kind = kind(family, names.base(index), &names, format.syntax);
        push_header(&mut out, family, kind, names.base(index), format.syntax);
        let samples =
            match is_same || !(escaping == Escaping::Dots || has_quoted_names(family.samples)) {
                true => Cow::Borrowed(family.samples),
                false => Cow::Owned(renamed(family, names.base(index), escaping)),
            };
        match kind {
            "histogram" | "summary" if format.syntax == Syntax::OpenMetrics => {
                push_bounds(&mut out, &samples, names.base(index), kind == "histogram");
            }
            "unknown" if family.kind == "counter" => push_plain(&mut out, &samples),
            _ => out.push_str(&samples),
        }
    }
    if format.syntax == Syntax::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// Whether a text has names in quotes. A label value with a comma at its end looks like one.
pub fn has_quoted_names(text: &str) -> bool {
    text.contains("{\"") || text.contains(",\"")
}

/// The type of a family in a syntax.
fn kind<'a>(family: &Family<'a>, base: &str, names: &Names, syntax: Syntax) -> &'a str {
    match family.kind {
        kind if syntax != Syntax::OpenMetrics => kind,
        "" | "untyped" => "unknown",
        // Without the suffix it is no counter there, and a gauge may have that name.
        "counter" if family.suffixes()[0].is_empty() || names.has(base) => "unknown",
        kind => kind,
    }
}

fn push_header(out: &mut String, family: &Family<'_>, kind: &str, base: &str, syntax: Syntax) {
    if family.name.is_empty() {
        return;
    }
    let is_openmetrics = syntax == Syntax::OpenMetrics;
    let mut name = base.to_owned();
    if !is_openmetrics || kind != "counter" {
        name.push_str(family.suffixes()[0]);
    }
    match family.help {
        Some(help) if is_openmetrics => {
            push_line(out, "HELP", &name, &help.replace('"', "\\\""));
        }
        Some(help) => push_line(out, "HELP", &name, help),
        None => {}
    }
    if !kind.is_empty() {
        push_line(out, "TYPE", &name, kind);
    }
}

/// The samples of a family with the names escaped.
fn renamed(family: &Family<'_>, base: &str, escaping: Escaping) -> String {
    let mut out = String::with_capacity(family.samples.len());
    let samples = family.samples.lines().filter_map(Sample::parse);
    for sample in samples {
        match sample.name.strip_prefix(family.base()) {
            Some(suffix) if !family.name.is_empty() => {
                out.push_str(base);
                out.push_str(suffix);
            }
            _ => out.push_str(&escape(&sample.name, escaping, true)),
        }
        let labels = label_names(&sample.labels, escaping);
        let mut separator = '{';
        for (name, (_, value)) in labels.iter().zip(&sample.labels) {
            out.push(separator);
            separator = ',';
            out.push_str(name);
            out.push('=');
            out.push_str(value);
        }
        out.push_str(if labels.is_empty() { " " } else { "} " });
        out.push_str(sample.value);
        out.push('\n');
    }
    out
}

/// Appends the samples of a counter that is none in OpenMetrics, where only a counter has a start
/// time and exemplars.
fn push_plain(out: &mut String, samples: &str) {
    for line in samples.lines() {
        if let Some(sample) = Sample::parse(line)
            && !sample.name.ends_with("_created")
        {
            let exemplar = sample
                .value
                .find(" # ")
                .map_or(0, |at| sample.value.len() - at);
            out.push_str(&line[..line.len() - exemplar]);
            out.push('\n');
        }
    }
}

/// Appends the samples of a histogram or a summary as OpenMetrics wants them: bounds and quantiles
/// are written as floating-point numbers. A histogram with negative bounds has no sum, which would
/// be no counter, and a count only with a sum.
fn push_bounds(out: &mut String, samples: &str, base: &str, is_histogram: bool) {
    let label = if is_histogram { "le=\"" } else { "quantile=\"" };
    let label = Finder::new(label);
    let (mut rest, mut has_negative) = (samples, false);
    let start = out.len();
    while let Some(at) = label.find(rest.as_bytes()) {
        let (before, after) = rest.split_at(at + label.needle().len());
        out.push_str(before);
        rest = after;
        // Or it is the end of a longer name. A quote in a value is escaped, so a value that looks like
        // this label ends here, and is followed by no number.
        if before[..at].ends_with(['{', ',']) {
            let bound = after.split('"').next().unwrap_or_default();
            has_negative |= is_histogram && bound.starts_with('-');
            let digits = bound.trim_start_matches('-').as_bytes();
            if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
                out.push_str(bound);
                out.push_str(".0");
                rest = &after[bound.len()..];
            }
        }
    }
    out.push_str(rest);
    if has_negative {
        let is_kept = |line: &&str| {
            let name = line.trim_start_matches("{\"").strip_prefix(base);
            !name.is_some_and(|rest| rest.starts_with("_sum") || rest.starts_with("_count"))
        };
        let lines = out[start..].split_inclusive('\n');
        let kept: String = lines.filter(is_kept).collect();
        out.truncate(start);
        out.push_str(&kept);
    }
}
