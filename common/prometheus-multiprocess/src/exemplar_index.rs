//! The newest exemplar of each series, over all processes.

use std::{collections::HashMap, path::Path};

use foldhash::fast::RandomState;

use crate::{
    exemplar::{Entry, Exemplar},
    exemplars,
    learned::{self, REJECTED},
    source::Source,
};

/// Exemplars by the number of their series.
pub(crate) type ExemplarIndex = HashMap<u32, Exemplar, RandomState>;

/// Finds the exemplars of the entries in `sources`.
pub(crate) fn find<'a>(
    directory: &Path,
    identifiers: impl Iterator<Item = &'a str>,
    sources: &[Source],
) -> ExemplarIndex {
    let mut newest = ExemplarIndex::default();
    for identifier in identifiers {
        for (entry, exemplar) in exemplars::read(&directory.join(identifier)) {
            let is_its = |source: &&Source| {
                source.file.identifier == identifier && entry.kind() == Some(source.file.kind)
            };
            let source = sources.iter().find(is_its);
            if let Some(series) = source.and_then(|source| series(source, entry)) {
                let known = newest.entry(series).or_insert(exemplar);
                if exemplar.time > known.time {
                    *known = exemplar;
                }
            }
        }
    }
    newest
}

/// The series of an entry, unless it is of another file that had this name.
fn series(source: &Source, entry: Entry) -> Option<u32> {
    let learned = &source.learned;
    let places = |known: &learned::Entry| known.value as usize;
    let number = learned
        .entries
        .binary_search_by_key(&entry.offset(), places);
    let number = number.ok()?;
    let found = learned.entries[number];
    let key = source.key_at(learned.start(number));
    (found.series != REJECTED && entry.has_key(key)).then_some(found.series)
}
