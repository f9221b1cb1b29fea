//! From the text of a scrape to the types that a `prometheus::Registry` gathers.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Summary,
};

/// The families of a text that this module's parent wrote.
pub(crate) fn families(text: &str) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let mut help = "";
    let mut open: Option<Open> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            families.extend(open.take().map(Open::close));
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            open = Some(Open::new(name, &unescape(help), kind));
        } else if let Some(open) = &mut open {
            open.add(line);
        }
    }
    families.extend(open.map(Open::close));
    families
}

/// A family that is being read.
struct Open {
    family: MetricFamily,
    name: String,
    kind: MetricType,
    metrics: Vec<Metric>,
    /// The labels of the histogram or summary that is being read, and its parts.
    parts: Option<(String, Parts)>,
}

#[derive(Default)]
struct Parts {
    buckets: Vec<Bucket>,
    sum: f64,
    count: f64,
}

impl Open {
    fn new(name: &str, help: &str, kind: &str) -> Open {
        let kind = match kind {
            "counter" => MetricType::COUNTER,
            "histogram" => MetricType::HISTOGRAM,
            "summary" => MetricType::SUMMARY,
            _ => MetricType::GAUGE,
        };
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Open {
            family,
            name: name.to_owned(),
            kind,
            metrics: Vec::new(),
            parts: None,
        }
    }

    fn add(&mut self, line: &str) {
        let Some((sample, value)) = line.rsplit_once(' ') else {
            return;
        };
        let value: f64 = value.parse().unwrap_or(f64::NAN);
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let labels = labels.strip_suffix('}').unwrap_or(labels);
        match self.kind {
            MetricType::COUNTER => {
                let mut counter = Counter::default();
                counter.set_value(value);
                let mut metric = Metric::from_label(pairs(labels));
                metric.set_counter(counter);
                self.metrics.push(metric);
            }
            MetricType::GAUGE => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                let mut metric = Metric::from_label(pairs(labels));
                metric.set_gauge(gauge);
                self.metrics.push(metric);
            }
            _ => self.add_part(name, labels, value),
        }
    }

    fn add_part(&mut self, name: &str, labels: &str, value: f64) {
        let suffix = name.strip_prefix(&self.name).unwrap_or_default().to_owned();
        let (bound, own) = match suffix.as_str() {
            "_bucket" => without_bound(labels),
            _ => (f64::NAN, labels.to_owned()),
        };
        if self
            .parts
            .as_ref()
            .is_some_and(|(labels, _)| *labels != own)
        {
            self.end_parts();
        }
        let (_, parts) = self.parts.get_or_insert_with(|| (own, Parts::default()));
        match suffix.as_str() {
            "_bucket" => {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(bound);
                bucket.set_cumulative_count(value as u64);
                parts.buckets.push(bucket);
            }
            "_sum" => parts.sum = value,
            "_count" => parts.count = value,
            _ => {}
        }
    }

    fn end_parts(&mut self) {
        let Some((labels, parts)) = self.parts.take() else {
            return;
        };
        let mut metric = Metric::from_label(pairs(&labels));
        if self.kind == MetricType::HISTOGRAM {
            let mut histogram = Histogram::default();
            histogram.set_bucket(parts.buckets);
            histogram.set_sample_sum(parts.sum);
            histogram.set_sample_count(parts.count as u64);
            metric.set_histogram(histogram);
        } else {
            let mut summary = Summary::default();
            summary.set_sample_sum(parts.sum);
            summary.set_sample_count(parts.count as u64);
            metric.set_summary(summary);
        }
        self.metrics.push(metric);
    }

    fn close(mut self) -> MetricFamily {
        self.end_parts();
        self.family.set_metric(self.metrics);
        self.family
    }
}

/// The bound of a bucket, and its other labels.
fn without_bound(labels: &str) -> (f64, String) {
    let mut bound = f64::NAN;
    let others: Vec<&str> = split(labels)
        .filter(|(name, value, _)| {
            if *name == "le" {
                bound = value.parse().unwrap_or(f64::NAN);
            }
            *name != "le"
        })
        .map(|(_, _, whole)| whole)
        .collect();
    (bound, others.join(","))
}

fn pairs(labels: &str) -> Vec<LabelPair> {
    split(labels)
        .map(|(name, value, _)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(unescape(value));
            pair
        })
        .collect()
}

/// The labels of `a="x",b="y"`: name, escaped value, and both as they stand.
fn split(labels: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut rest = labels;
    std::iter::from_fn(move || {
        let (name, value) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = value.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        })?;
        let whole = &rest[..name.len() + 2 + end + 1];
        rest = rest[whole.len()..].trim_start_matches(',');
        Some((name, &value[..end], whole))
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            _ => out.push(character),
        }
    }
    out
}
