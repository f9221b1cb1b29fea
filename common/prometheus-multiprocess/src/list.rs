//! The metric files of a directory, as a scrape finds them.

use std::{cmp::Reverse, collections::BTreeSet, fs, io, path::Path};

use crate::{
    declared::{self, Stamp},
    format::{GaugeMode, Kind},
    home, identity,
    identity::Holder,
    read,
};

/// A metric file that could not be read in full, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BadFile {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

const UNKNOWN_NAME: &str = "unknown name";

/// A file that a scrape has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedFile {
    /// Its path in the directory.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) identifier: String,
    /// Who wrote it, if it is a file of this crate.
    pub(crate) holder: Option<Holder>,
}

impl ListedFile {
    /// Whether each entry of the file has to be looked at by itself: the sample has a label of its
    /// own, or counts only unless a newer process has it too.
    pub(crate) fn is_alone(&self) -> bool {
        let is_past = self.holder.is_some_and(|holder| !holder.lives);
        self.kind.is_per_process() || is_past && self.kind == Kind::Gauge(GaugeMode::Sum)
    }
}

/// A process that has, or had, a directory of its own.
#[derive(Clone, PartialEq)]
pub(crate) struct Writer {
    since: i128,
    pub(crate) identifier: String,
    declared: Stamp,
}

/// What is in the directory right now.
#[derive(Default)]
pub(crate) struct Listing {
    /// Those of one kind are together, and the newest come first. Live gauges of ended processes
    /// of ours are left out.
    pub(crate) files: Vec<ListedFile>,
    pub(crate) bad: Vec<BadFile>,
    /// The processes that wrote files, the newest last.
    pub(crate) writers: Vec<Writer>,
}

/// Lists the directory.
pub(crate) fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut ours = BTreeSet::new();
    for identifier in home::identifiers(directory)? {
        let home = directory.join(&identifier);
        let holder = identity::holder(directory, &identifier);
        if !home::is_retired(&home) {
            listing.add_own(&home, &identifier, holder);
            listing.writers.push(Writer {
                since: holder.since,
                identifier: identifier.clone(),
                declared: declared::stamp(&home),
            });
        }
        ours.insert(identifier);
    }
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.ends_with(".db") {
            continue;
        }
        match Kind::of_link_name(&name) {
            // A link for Python to a file that is listed already.
            Some((_, identifier)) if ours.contains(identifier) => {}
            Some((kind, identifier)) if !name.contains(char::REPLACEMENT_CHARACTER) => {
                listing.files.push(ListedFile {
                    identifier: identifier.to_owned(),
                    name: name.into_owned(),
                    kind,
                    holder: None,
                });
            }
            _ => listing.add_bad(&name, UNKNOWN_NAME),
        }
    }
    listing.sort();
    listing.writers.sort_by_key(|writer| writer.since);
    Ok(listing)
}

impl Listing {
    fn add_own(&mut self, home: &Path, identifier: &str, holder: Holder) {
        let files = match home::files(home) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.add_bad(identifier, read::unreadable(error)),
        };
        for (kind, path) in files {
            let Ok(modified) = fs::metadata(path).map(|found| home::modified(&found)) else {
                continue;
            };
            // A file that the process has not taken over yet is still its predecessor's.
            let holder = match modified < holder.since {
                true => Holder {
                    lives: false,
                    since: modified,
                },
                false => holder,
            };
            if holder.lives || !kind.is_live() {
                self.files.push(ListedFile {
                    name: own_name(identifier, kind),
                    kind,
                    identifier: identifier.to_owned(),
                    holder: Some(holder),
                });
            }
        }
    }

    /// Adds the files of processes whose directories cannot be read now.
    pub(crate) fn keep_unreadable<'a>(&mut self, known: impl Iterator<Item = &'a ListedFile>) {
        let is_bad = |file: &&ListedFile| {
            file.holder.is_some() && self.bad.iter().any(|bad| bad.name == file.identifier)
        };
        let kept: Vec<_> = known.filter(is_bad).cloned().collect();
        self.files.extend(kept);
        self.sort();
    }

    /// Adds files that are not in the directory yet, of the process `identifier`.
    pub(crate) fn add_unwritten(&mut self, identifier: &str, kinds: impl Iterator<Item = Kind>) {
        for kind in kinds {
            let is_it = |file: &ListedFile| file.kind == kind && file.identifier == identifier;
            if !self.files.iter().any(is_it) {
                self.files.push(ListedFile {
                    name: own_name(identifier, kind),
                    kind,
                    identifier: identifier.to_owned(),
                    holder: None,
                });
            }
        }
        self.sort();
    }

    pub(crate) fn add_bad(&mut self, name: &str, reason: &'static str) {
        let name = name.to_owned();
        self.bad.push(BadFile { name, reason });
    }

    fn sort(&mut self) {
        self.files.sort_by_cached_key(|file| {
            let holder = file.holder.map(|holder| (holder.lives, holder.since));
            (
                file.kind.file_name(),
                Reverse(holder),
                file.identifier.clone(),
            )
        });
    }
}

/// The path of a file of ours in the directory.
pub(crate) fn own_name(identifier: &str, kind: Kind) -> String {
    format!("{identifier}/{}", kind.file_name())
}
