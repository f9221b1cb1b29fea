//! All metric families, and which definition of each one counts.
//!
//! Processes of two generations run side by side during a reload, and a new process goes on with
//! the files of an old one. So a metric can have several definitions, of which the newest counts.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::{
    family::{Age, Family},
    format::Kind,
    key::Label,
    list::ListedFile,
};

/// Why an entry does not count that a newer process has declared otherwise, or anew. This is what
/// happens at an upgrade, and no fault of the file.
pub(crate) const SUPERSEDED: &str = "superseded";

/// The metric families of all files.
pub(crate) struct Families {
    families: Vec<Family>,
    by_name: HashMap<String, usize, RandomState>,
    /// The names of all samples and families in the text.
    printed: HashSet<String, RandomState>,
    newest: Newest,
}

/// The newest definition of each metric that changed its type or its labels.
#[derive(Default)]
pub(crate) struct Newest {
    definitions: HashMap<String, (Age, Kind, Vec<String>)>,
    is_new: bool,
}

impl Families {
    /// None yet; `newest` is what an earlier attempt found out.
    pub(crate) fn new(newest: Newest) -> Families {
        let Newest { definitions, .. } = newest;
        Families {
            families: Vec::new(),
            by_name: HashMap::default(),
            printed: HashSet::default(),
            newest: Newest {
                definitions,
                is_new: false,
            },
        }
    }

    /// Whether a definition was found that is newer than what was used.
    pub(crate) fn has_newer(&self) -> bool {
        self.newest.is_new
    }

    /// The definitions to start over with, if one is newer.
    pub(crate) fn take_newest(&mut self) -> Option<Newest> {
        self.newest.is_new.then(|| std::mem::take(&mut self.newest))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether a family or a sample has this name in the text.
    pub(crate) fn prints(&self, name: &str) -> bool {
        self.printed.contains(name)
    }

    /// The families in the order of the output.
    pub(crate) fn sorted(&self) -> Vec<&Family> {
        let mut families: Vec<&Family> = self.families.iter().collect();
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    /// The family of an entry, if the entry counts. `place` is the index of the file and the offset
    /// in it.
    pub(crate) fn of_entry(
        &mut self,
        file: &ListedFile,
        name: &str,
        help: &str,
        labels: &[Label<'_>],
        (source, offset): (usize, usize),
    ) -> Result<&mut Family, &'static str> {
        if name.is_empty() || labels.iter().any(|(name, _)| name.is_empty()) {
            return Err("empty name");
        }
        let age = file.holder.map(|holder| (holder.since, source, offset));
        let own_names = || {
            labels
                .iter()
                .map(|(name, _)| name.clone().into_owned())
                .collect()
        };
        let index = match self.by_name.get(name) {
            Some(&index) => index,
            None => {
                let newest = self.newest.definitions.get(name).cloned();
                let (age, kind, labels) = match newest {
                    Some((age, kind, labels)) => (Some(age), kind, labels),
                    None => (age, file.kind, own_names()),
                };
                self.add(Family::new(kind, name, help, labels, age))?
            }
        };
        let family = &mut self.families[index];
        let label_names = labels.iter().map(|(name, _)| &**name);
        let is_same = family.kind == file.kind
            && label_names.eq(family.label_names.iter().map(String::as_str));
        match (age, family.age) {
            (age, known) if is_same && age <= known => {}
            _ if is_same => {
                family.age = age;
                help.clone_into(&mut family.help);
            }
            (Some(age), Some(known)) => {
                if age > known {
                    let definition = (age, file.kind, own_names());
                    self.newest.definitions.insert(name.to_owned(), definition);
                    self.newest.is_new = true;
                }
                return Err(SUPERSEDED);
            }
            _ if family.kind != file.kind => return Err("type differs from another file's"),
            // Other programs may use different labels in one family.
            _ => {}
        }
        match file.holder {
            Some(holder) if holder.lives => {
                family.live_since = family.live_since.max(holder.since);
            }
            Some(holder) if file.is_alone() && family.live_since > holder.since => {
                return Err(SUPERSEDED);
            }
            _ => {}
        }
        Ok(family)
    }

    /// Adds a family, unless its samples would have the names of another one's.
    fn add(&mut self, family: Family) -> Result<usize, &'static str> {
        let is_taken = |name: &String| self.printed.contains(name);
        if family.names.iter().any(is_taken) {
            return Err("name of another metric");
        }
        let index = self.families.len();
        self.printed.extend(family.names.iter().cloned());
        self.by_name.insert(family.name.clone(), index);
        self.families.push(family);
        Ok(index)
    }
}
