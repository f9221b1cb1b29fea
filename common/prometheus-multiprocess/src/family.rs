//! The samples of one metric family, and the order in which they are printed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use prometheus_exposition::{is_label_name, push_quoted};

use crate::{
    format::Kind,
    key::{Key, Label},
    sort::sort_by_text,
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
    pub(crate) names: Vec<String>,
    /// The labels of all groups, one after the other.
    text: String,
    pub(crate) groups: Vec<Group>,
    samples: Vec<Sample>,
    /// The hash of the labels of each group, and its index.
    by_labels: HashTable<(u32, u32)>,
    hasher: RandomState,
}

/// Of two definitions the one with the greater age is newer: the process that took its identifier
/// later has it, or it is behind the other one in a file. The time, the file and the offset.
pub(crate) type Age = (i128, usize, usize);

/// The samples of one set of labels; `le` is not one of them. There may be many of them, so this is
/// short, and refers to the vectors of the family.
pub(crate) struct Group {
    start: u32,
    end: u32,
    /// Where `le` belongs among the labels.
    pub(crate) le: u32,
    /// The sample that is printed last.
    last: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) rank: Rank,
    pub(crate) series: u32,
    /// The sample of the same group that is printed before this one.
    before: u32,
}

/// No sample.
const NONE: u32 = u32::MAX;

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
            names: printed_names(kind, name),
            text: String::new(),
            groups: Vec::new(),
            samples: Vec::new(),
            by_labels: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// The series of a sample, or `next` if the sample is new.
    pub(crate) fn series(
        &mut self,
        labels: &[Label<'_>],
        rank: Rank,
        next: u32,
    ) -> Result<u32, &'static str> {
        let start = self.text.len();
        let group = self.group(labels);
        let group = group.inspect_err(|_| self.text.truncate(start))?;
        let samples = &mut self.samples;
        let number = u32::try_from(samples.len()).map_err(|_| "too many series")?;
        // A new bucket is mostly the last one but the sum.
        let (mut after, mut before) = (NONE, self.groups[group].last);
        while let Some(known) = samples.get(before as usize)
            && known.rank > rank
        {
            (after, before) = (before, known.before);
        }
        if let Some(known) = samples.get(before as usize)
            && known.rank == rank
        {
            return Ok(known.series);
        }
        match samples.get_mut(after as usize) {
            Some(after) => after.before = number,
            None => self.groups[group].last = number,
        }
        let series = next;
        samples.push(Sample {
            rank,
            series,
            before,
        });
        Ok(series)
    }

    /// The index of the group with these labels, which is added if it is new.
    fn group(&mut self, labels: &[Label<'_>]) -> Result<usize, &'static str> {
        let Family {
            text,
            groups,
            by_labels,
            hasher,
            ..
        } = self;
        let start = text.len();
        let le = push_labels(text, labels);
        let end = u32::try_from(text.len()).map_err(|_| "too many series")?;
        let hash = hasher.hash_one(&text[start..]) as u32;
        let wide = |hash: u32| u64::from(hash) << 32 | u64::from(hash);
        let same = |&(other, index): &(u32, u32)| {
            other == hash && groups[index as usize].labels(text) == &text[start..]
        };
        if let Some((_, index)) = by_labels.find(wide(hash), same) {
            text.truncate(start);
            return Ok(*index as usize);
        }
        let index = groups.len();
        groups.push(Group {
            start: start as u32,
            end,
            le: le as u32,
            last: NONE,
        });
        // The labels of a group take a byte at least, but for one group.
        let entry = (hash, index as u32);
        by_labels.insert_unique(wide(hash), entry, |&(hash, _)| wide(hash));
        Ok(index)
    }

    /// The name of a sample, as it is printed.
    pub(crate) fn sample_name(&self, rank: Rank) -> &str {
        match rank {
            Rank::Value | Rank::Count => &self.names[0],
            Rank::Sum => &self.names[1],
            Rank::Bucket(_) => &self.names[2],
        }
    }

    /// The groups in the order of the output.
    pub(crate) fn sorted(&self) -> Vec<&Group> {
        sort_by_text(self.groups.iter(), |group| group.labels(&self.text))
    }

    /// The labels of a group as they stand in the text, such as `a="x",b="y"`.
    pub(crate) fn labels(&self, group: &Group) -> &str {
        group.labels(&self.text)
    }

    /// Puts the samples of a group into `out`, in the order of the output.
    pub(crate) fn samples(&self, group: &Group, out: &mut Vec<Sample>) {
        out.clear();
        let mut next = group.last;
        while let Some(sample) = self.samples.get(next as usize) {
            out.push(*sample);
            next = sample.before;
        }
        out.reverse();
    }
}

impl Group {
    fn labels<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start as usize..self.end as usize]
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

/// Appends the labels as they stand in the text. Returns how far behind the start of them `le`
/// would stand.
fn push_labels(text: &mut String, labels: &[Label<'_>]) -> usize {
    let first = text.len();
    let mut le = 0;
    for (name, value) in labels {
        if text.len() > first {
            text.push(',');
        }
        match is_label_name(name) {
            true => text.push_str(name),
            false => push_quoted(text, name),
        }
        text.push('=');
        push_quoted(text, value);
        if **name < *"le" {
            le = text.len() - first;
        }
    }
    le
}
