//! What a scrape found, as values instead of text.

use prometheus_exposition::parse_labels;

use crate::{
    exemplar::Exemplar,
    exemplar_index::ExemplarIndex,
    family::{Family, Group, Rank, Sample},
    format::Kind,
    merge::Merge,
};

/// A metric and its series, merged over all processes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CollectedFamily {
    /// The name; that of a counter is without `_total`.
    pub name: String,
    /// The help text.
    pub help: String,
    /// What kind of metric it is.
    pub kind: MetricKind,
    /// The series, sorted by labels.
    pub series: Vec<CollectedSeries>,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only increases.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// The number and the sum of observations.
    Summary,
}

/// The values of one set of labels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CollectedSeries {
    /// Names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// When the first process made the series, in seconds of Unix time. Gauges have no start, and of
    /// a series to which Python adds it is not known.
    pub start: Option<f64>,
    /// What was counted.
    pub value: CollectedValue,
    /// The newest exemplar of a counter, or of each bucket that has one.
    pub exemplars: Vec<Exemplar>,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CollectedValue {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// Upper bounds, ascending, and how many observations are in each bucket alone.
        buckets: Vec<(f64, f64)>,
        /// The sum of the observations.
        sum: f64,
    },
    /// Of a summary.
    Summary {
        /// The number of observations.
        count: f64,
        /// The sum of the observations.
        sum: f64,
    },
}

/// The families in the order of their names, with the start times that `merge` found.
pub(crate) fn collect(merge: &Merge, exemplars: &ExemplarIndex) -> Vec<CollectedFamily> {
    let families = merge.families().sorted().into_iter();
    let family = |family: &Family| CollectedFamily {
        name: family.name.clone(),
        help: family.help.clone(),
        kind: match family.kind {
            Kind::Counter => MetricKind::Counter,
            Kind::Gauge(_) => MetricKind::Gauge,
            Kind::Histogram => MetricKind::Histogram,
            Kind::Summary => MetricKind::Summary,
        },
        series: {
            let groups = family.sorted().into_iter();
            groups
                .filter_map(|group| series(family, group, merge, exemplars))
                .collect()
        },
    };
    let has_series = |family: &CollectedFamily| !family.series.is_empty();
    families.map(family).filter(has_series).collect()
}

/// `None` for a gauge that was never set.
fn series(
    family: &Family,
    group: &Group,
    merge: &Merge,
    exemplars: &ExemplarIndex,
) -> Option<CollectedSeries> {
    let mut samples = Vec::new();
    family.samples(group, &mut samples);
    let is_set = |sample: &Sample| merge.times[sample.series as usize] > 0.0;
    if family.kind.is_most_recent() && !samples.iter().all(is_set) {
        return None;
    }
    let value = |sample: &Sample| merge.values[sample.series as usize];
    let find = |rank| samples.iter().find(|sample| sample.rank == rank).map(value);
    let of = |rank| find(rank).unwrap_or_default();
    Some(CollectedSeries {
        labels: parse_labels(family.labels(group))?,
        start: merge.start(&samples),
        exemplars: {
            let exemplar = |sample: &Sample| exemplars.get(&sample.series).copied();
            samples.iter().filter_map(exemplar).collect()
        },
        value: match family.kind {
            Kind::Counter | Kind::Gauge(_) => CollectedValue::Number(find(Rank::Value)?),
            Kind::Summary => CollectedValue::Summary {
                count: of(Rank::Count),
                sum: of(Rank::Sum),
            },
            Kind::Histogram => {
                let bucket = |sample: &Sample| match sample.rank {
                    Rank::Bucket(bound) => Some((bound, value(sample))),
                    _ => None,
                };
                CollectedValue::Histogram {
                    buckets: samples.iter().filter_map(bucket).collect(),
                    sum: of(Rank::Sum),
                }
            }
        },
    })
}
