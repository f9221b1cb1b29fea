//! The samples of one metric family, and the order in which they are printed.

use crate::{format::Kind, hash::Index, key::Label, number};

/// The samples of one name.
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: Kind,
    /// The names of its samples, in order of first sight, and how they are printed.
    pub(crate) samples: Vec<(String, String)>,
    pub(crate) groups: Vec<Group>,
    by_labels: Index,
}

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
    /// Its name: an index into `Family::samples`.
    pub(crate) name: u32,
    pub(crate) series: u32,
}

/// The order of the samples in a group.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Rank {
    /// With the upper bound.
    Bucket(f64),
    Sum,
    Count,
    Other(u32),
}

impl Family {
    pub(crate) fn new(kind: Kind, name: &str, help: &str) -> Family {
        Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind,
            samples: Vec::new(),
            groups: Vec::new(),
            by_labels: Index::new(),
        }
    }

    /// The series of a sample, or `next` if the sample is new.
    pub(crate) fn series(
        &mut self,
        labels: &[Label<'_>],
        rank: Rank,
        sample: &str,
        next: u32,
    ) -> u32 {
        let (labels, le) = label_text(labels);
        let name = match self.samples.iter().position(|(known, _)| known == sample) {
            Some(index) => index,
            None => {
                let mut printed = String::new();
                number::push_name(&mut printed, sample, true);
                self.samples.push((sample.to_owned(), printed));
                self.samples.len() - 1
            }
        } as u32;
        let rank = if let Rank::Other(_) = rank {
            Rank::Other(name)
        } else {
            rank
        };
        let same = |known: u32| self.groups[known as usize].labels == labels;
        let index = match self.by_labels.find(labels.as_bytes(), same) {
            Some(index) => index as usize,
            None => {
                self.by_labels
                    .insert(labels.as_bytes(), self.groups.len() as u32);
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
                group.samples.insert(
                    before,
                    Sample {
                        rank,
                        name,
                        series: next,
                    },
                );
                next
            }
        }
    }

    /// The groups in the order of the output.
    pub(crate) fn sorted(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.iter().collect();
        groups.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        groups
    }
}

impl Rank {
    pub(crate) fn of_suffix(sample: &str, family: &str) -> Rank {
        match sample.strip_prefix(family) {
            Some("_sum") => Rank::Sum,
            Some("_count") => Rank::Count,
            _ => Rank::Other(0),
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
        number::push_name(&mut text, name, false);
        text.push_str("=\"");
        number::push_label_value(&mut text, value);
        text.push('"');
        if **name < *"le" {
            le = text.len();
        }
    }
    (text, le)
}
