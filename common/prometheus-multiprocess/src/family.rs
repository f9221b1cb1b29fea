//! The samples of one metric family, and the order in which they are printed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use prometheus_exposition::{is_label_name, push_quoted};

use crate::{
    format::Kind,
    key::{Key, Label},
};

/// The samples of one name.
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// The names of its labels, without those that a scrape adds.
    pub(crate) label_names: Vec<String>,
    /// How old this definition is; `None` if no process of ours has it.
    pub(crate) age: Option<Age>,
    /// When the newest process that lives and has it took its identifier.
    pub(crate) live_since: i128,
    /// The names of its samples and its own, as they are printed; see [`printed_names`].
    pub(crate) samples: Vec<String>,
    pub(crate) groups: Vec<Group>,
    by_labels: HashTable<u32>,
    hasher: RandomState,
}

/// Of two definitions the one with the greater age is newer: the process that took its identifier
/// later has it, or it is behind the other one in a file. The time, the file and the offset.
pub(crate) type Age = (i128, usize, usize);

/// The samples of one set of labels; `le` is not one of them.
pub(crate) struct Group {
    /// As they stand in the text, such as `a="x",b="y"`.
    pub(crate) labels: String,
    /// Where `le` belongs among them.
    pub(crate) le: usize,
    /// In the order of the output.
    pub(crate) samples: Vec<Sample>,
}

pub(crate) struct Sample {
    pub(crate) rank: Rank,
    pub(crate) series: u32,
}

/// The order of the samples in a group.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Rank {
    /// With the upper bound.
    Bucket(f64),
    Sum,
    Count,
    /// The only one.
    Value,
}

impl Family {
    pub(crate) fn new(
        kind: Kind,
        name: &str,
        help: &str,
        label_names: Vec<String>,
        age: Option<Age>,
    ) -> Family {
        Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            label_names,
            age,
            live_since: i128::MIN,
            samples: printed_names(kind, name),
            groups: Vec::new(),
            by_labels: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// The series of a sample, or `next` if the sample is new.
    pub(crate) fn series(&mut self, labels: &[Label<'_>], rank: Rank, next: u32) -> u32 {
        let (labels, le) = label_text(labels);
        let hash = self.hasher.hash_one(&labels);
        let same = |known: &u32| self.groups[*known as usize].labels == labels;
        let index = match self.by_labels.find(hash, same) {
            Some(index) => *index as usize,
            None => {
                let rehash =
                    |known: &u32| self.hasher.hash_one(&self.groups[*known as usize].labels);
                self.by_labels
                    .insert_unique(hash, self.groups.len() as u32, rehash);
                let samples = Vec::with_capacity(1);
                self.groups.push(Group {
                    labels,
                    le,
                    samples,
                });
                self.groups.len() - 1
            }
        };
        let group = &mut self.groups[index];
        let before = group.samples.partition_point(|known| known.rank < rank);
        match group.samples.get(before) {
            Some(known) if known.rank == rank => known.series,
            _ => {
                let series = next;
                group.samples.insert(before, Sample { rank, series });
                series
            }
        }
    }

    /// The name of a sample, as it is printed.
    pub(crate) fn sample_name(&self, rank: Rank) -> &str {
        match rank {
            Rank::Value | Rank::Count => &self.samples[0],
            Rank::Sum => &self.samples[1],
            Rank::Bucket(_) => &self.samples[2],
        }
    }

    /// The groups in the order of the output.
    pub(crate) fn sorted(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        groups
    }
}

/// The names of the samples of a family, in the order of `Family::sample_name`.
pub(crate) fn sample_suffixes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Counter => &["_total"],
        Kind::Gauge(_) => &[""],
        Kind::Summary => &["_count", "_sum"],
        Kind::Histogram => &["_count", "_sum", "_bucket"],
    }
}

/// The names of a family and of its samples in the text.
pub(crate) fn printed_names(kind: Kind, name: &str) -> Vec<String> {
    let suffixes = sample_suffixes(kind).iter();
    let mut names: Vec<String> = suffixes.map(|suffix| format!("{name}{suffix}")).collect();
    if matches!(kind, Kind::Summary | Kind::Histogram) {
        names.push(name.to_owned());
    }
    names
}

impl Rank {
    /// The rank of the sample of a key, from which the label `le` of a bucket is taken.
    ///
    /// # Errors
    ///
    /// Why the sample is none of its family.
    pub(crate) fn of_key(kind: Kind, key: &mut Key<'_>) -> Result<Rank, &'static str> {
        let suffix = key.sample.strip_prefix(&*key.family);
        let le = key.labels.iter().position(|(name, _)| name == "le");
        if let Some(le) = le.filter(|_| kind == Kind::Histogram) {
            let is_bucket = suffix == Some("_bucket");
            let (_, le) = key.labels.remove(le);
            // As Python's `float` reads it.
            let bound = le.trim().parse().ok();
            let bound = bound.filter(|bound: &f64| is_bucket && !bound.is_nan());
            return bound.map(Rank::Bucket).ok_or("bucket without a bound");
        }
        match (kind, suffix) {
            (Kind::Counter, Some("_total")) | (Kind::Gauge(_), Some("")) => Ok(Rank::Value),
            (Kind::Histogram | Kind::Summary, Some("_sum")) => Ok(Rank::Sum),
            (Kind::Summary, Some("_count")) => Ok(Rank::Count),
            // The buckets of a histogram say how many observations there were.
            _ => Err("sample of another family"),
        }
    }
}

/// The labels as they stand in the text, and where `le` would stand.
fn label_text(labels: &[Label<'_>]) -> (String, usize) {
    let mut text = String::with_capacity(32 * labels.len());
    let mut le = 0;
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        match is_label_name(name) {
            true => text.push_str(name),
            false => push_quoted(&mut text, name),
        }
        text.push('=');
        push_quoted(&mut text, value);
        if **name < *"le" {
            le = text.len();
        }
    }
    (text, le)
}
