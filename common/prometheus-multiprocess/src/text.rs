//! The text format 1.0.0: everything but the numbers is put together once and kept.
//!
//! It differs from 0.0.4 only where a name is not plain: such a name stands in quotes. For
//! OpenMetrics it has start times too.

use prometheus_exposition::{has_quoted_names, is_metric_name, push_header, push_quoted};

use crate::{
    exemplar_index::ExemplarIndex,
    family::{Family, Group, Rank, Sample},
    format::Kind,
    merge::{self, Merge},
    number,
};

/// The output without its numbers.
#[derive(Default)]
pub(crate) struct Template {
    text: String,
    steps: Vec<Step>,
    /// What the lines with start times are called, for each family.
    created: Vec<String>,
    /// Whether a name is not plain.
    pub(crate) has_utf8: bool,
}

/// A piece of the text, up to `end`, and the number that follows it.
struct Step {
    end: usize,
    number: Number,
}

#[derive(Clone, Copy)]
enum Number {
    /// None: the lines before the samples of a family.
    Nothing,
    /// The value of a series.
    Value(u32),
    /// The value of a counter, which can have an exemplar. So can a bucket.
    Total(u32),
    /// The value of a series; the piece is left out if it was never set.
    MostRecent(u32),
    /// A bucket: the value of a series and those of the buckets before it.
    Bucket(u32),
    /// What the buckets add up to.
    Count,
    /// When the first of the samples before it began, if that is known and wanted. There is no piece
    /// for this line, as it is seldom printed: the last bytes of the piece before are its labels, so
    /// many of them.
    Created(u32),
}

impl Template {
    /// The template of what has been learned so far.
    pub(crate) fn new(merge: &Merge) -> Template {
        let mut template = Template::default();
        for family in merge.families().sorted() {
            // All entries of it may have been refused.
            if !family.groups.is_empty() {
                template.family(family, merge);
            }
        }
        template.has_utf8 = has_quoted_names(&template.text);
        template
    }

    /// Appends the text with the numbers of `merge`, with the start times that it found if they are
    /// wanted, and with exemplars.
    pub(crate) fn render(
        &self,
        merge: &Merge,
        has_starts: bool,
        exemplars: &ExemplarIndex,
        out: &mut String,
    ) {
        out.reserve(self.text.len() + 12 * self.steps.len());
        let mut start = 0;
        let mut sum = 0.0;
        let mut created = f64::INFINITY;
        let mut created_names = self.created.iter();
        let mut created_name = "";
        let mut piece = "";
        for step in &self.steps {
            let before = piece;
            piece = &self.text[start..step.end];
            start = step.end;
            if has_starts
                && let Number::Value(series) | Number::Total(series) | Number::Bucket(series) =
                    step.number
            {
                created = created.min(merge.starts[series as usize]);
            }
            let value = match step.number {
                Number::Nothing => {
                    created = f64::INFINITY;
                    created_name = created_names.next().map_or("", String::as_str);
                    out.push_str(piece);
                    continue;
                }
                Number::Value(series) | Number::Total(series) => merge.values[series as usize],
                Number::MostRecent(series) if merge.times[series as usize] > 0.0 => {
                    merge.values[series as usize]
                }
                Number::MostRecent(_) => continue,
                Number::Bucket(series) => {
                    sum += merge.values[series as usize];
                    sum
                }
                Number::Count => std::mem::take(&mut sum),
                Number::Created(labels) => {
                    let known = std::mem::replace(&mut created, f64::INFINITY);
                    if !merge::is_known(known) {
                        continue;
                    }
                    // A brace and a space follow them.
                    let end = before.len() - 2;
                    let labels = &before[end - labels as usize..end];
                    push_series(out, created_name, &[labels]);
                    known
                }
            };
            out.push_str(piece);
            number::push(out, value);
            if let Number::Total(series) | Number::Bucket(series) = step.number
                && let Some(exemplar) = exemplars.get(&series)
            {
                exemplar.push(out);
            }
            out.push('\n');
        }
    }

    fn family(&mut self, family: &Family, merge: &Merge) {
        let suffix = match family.kind {
            Kind::Counter => "_total",
            _ => "",
        };
        push_header(
            &mut self.text,
            &[&*family.name, suffix].concat(),
            &family.help,
            family.kind.type_name(),
        );
        self.end(Number::Nothing);
        let created = format!("{}_created", family.name);
        let has_created = family.kind.has_start() && !merge.families().prints(&created);
        self.created.push(created);
        let mut samples = Vec::new();
        for group in family.sorted() {
            family.samples(group, &mut samples);
            for sample in &samples {
                match sample.rank {
                    Rank::Bucket(bound) => self.bucket(family, group, bound, sample.series),
                    _ => self.sample(family, group, sample),
                }
            }
            if let Some(Rank::Bucket(_)) = samples.first().map(|sample| sample.rank) {
                self.count(family, group);
            }
            if has_created {
                self.end(Number::Created(family.labels(group).len() as u32));
            }
        }
    }

    fn sample(&mut self, family: &Family, group: &Group, sample: &Sample) {
        push_series(
            &mut self.text,
            family.sample_name(sample.rank),
            &[family.labels(group)],
        );
        self.end(match family.kind {
            Kind::Counter => Number::Total(sample.series),
            kind if kind.is_most_recent() => Number::MostRecent(sample.series),
            _ => Number::Value(sample.series),
        });
    }

    fn bucket(&mut self, family: &Family, group: &Group, bound: f64, series: u32) {
        let name = family.sample_name(Rank::Bucket(bound));
        let mut label = String::from("le=\"");
        number::push(&mut label, bound);
        label.push('"');
        let (before, after) = family.labels(group).split_at(group.le as usize);
        push_series(
            &mut self.text,
            name,
            &[before, &label, after.trim_start_matches(',')],
        );
        self.end(Number::Bucket(series));
    }

    fn count(&mut self, family: &Family, group: &Group) {
        push_series(
            &mut self.text,
            family.sample_name(Rank::Count),
            &[family.labels(group)],
        );
        self.end(Number::Count);
    }

    fn end(&mut self, number: Number) {
        self.steps.push(Step {
            end: self.text.len(),
            number,
        });
    }
}

/// Appends the name and the labels of a series.
fn push_series(out: &mut String, name: &str, parts: &[&str]) {
    let mut separator = '{';
    if is_metric_name(name) {
        out.push_str(name);
    } else {
        out.push(separator);
        push_quoted(out, name);
        separator = ',';
    }
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.push(separator);
        out.push_str(part);
        separator = ',';
    }
    out.push_str(if separator == '{' { " " } else { "} " });
}
