//! Many files become one set of samples.
//!
//! Keys are parsed and ordered when they are seen first. From then on a scrape adds up numbers by
//! position: each entry of each file knows its series.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    ops::Range,
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::{
    family::{Age, Family, Rank},
    format::{self, EntryLayout, GaugeMode, Kind},
    key::{Key, Label},
    list::ListedFile,
    source::{Entry, Source},
};

/// Why an entry does not count that a newer process has declared otherwise, or anew. This is what
/// happens at an upgrade, and no fault of the file.
const SUPERSEDED: &str = "superseded";

/// The samples of all files.
pub(crate) struct Merge {
    pub(crate) families: Vec<Family>,
    by_name: HashMap<String, u32, RandomState>,
    /// The names of all samples and families in the text.
    printed: HashSet<String, RandomState>,
    /// Where each key was seen first. Not of files whose entries are looked at one by one.
    keys: HashMap<Kind, Keys, RandomState>,
    newest: Newest,
    /// What each series is before the first file is added.
    initial: Vec<f64>,
    pub(crate) values: Vec<f64>,
    /// When the value was set, for gauges of which the most recent value counts.
    pub(crate) times: Vec<f64>,
}

/// The newest definition of each metric that changed its type or its labels.
#[derive(Default)]
pub(crate) struct Newest {
    definitions: HashMap<String, (Age, Kind, Vec<String>)>,
    is_new: bool,
}

/// The keys of one kind.
#[derive(Default)]
struct Keys {
    seen: Vec<FirstSeen>,
    /// Finds as many of them as it has; the others are added when a key has to be looked up.
    index: HashTable<u32>,
    hasher: RandomState,
}

/// An entry whose key was seen for the first time.
struct FirstSeen {
    source: usize,
    key: Range<usize>,
    series: Result<u32, &'static str>,
}

impl Merge {
    /// Nothing yet; `newest` is what an earlier attempt found out.
    pub(crate) fn new(newest: Newest) -> Merge {
        Merge {
            families: Vec::new(),
            by_name: HashMap::default(),
            printed: HashSet::default(),
            keys: HashMap::default(),
            newest: Newest {
                is_new: false,
                ..newest
            },
            initial: Vec::new(),
            values: Vec::new(),
            times: Vec::new(),
        }
    }

    /// The definitions to start over with, if one was found that is newer than what was used.
    pub(crate) fn take_newest(&mut self) -> Option<Newest> {
        self.newest.is_new.then(|| std::mem::take(&mut self.newest))
    }

    /// How many series there are; a scrape that learns none needs no new order.
    pub(crate) fn series(&self) -> usize {
        self.initial.len()
    }

    pub(crate) fn has_family(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Learns the entries that were added to the file `sources[index]`. In most services each
    /// process has the same entries in the same places, so those of the file before it are
    /// looked at first. Returns whether all of them count.
    pub(crate) fn learn(&mut self, sources: &mut [Source], index: usize) -> bool {
        let mut entries = std::mem::take(&mut sources[index].entries);
        let mut rejected = Vec::new();
        let (mut bad, mut unusable) = (None, None);
        let source = &sources[index];
        let kind = source.file.kind;
        let example = index.checked_sub(1).map(|before| &sources[before]);
        let is_alone = is_alone(&source.file);
        let is_like =
            |example: &&Source| example.file.kind == kind && !crate::merge::is_alone(&example.file);
        let example = example.filter(|example| is_like(example) && !is_alone);
        if let Some(example) = example {
            entries.reserve(example.entries.len().saturating_sub(entries.len()));
        }
        let mut start = source.learned;
        while start < source.used() {
            let Some(layout) = format::layout(|at| source.length_at(at), start, source.used())
            else {
                bad = Some("corrupt entry");
                break;
            };
            let value = layout.value;
            let guess = example.and_then(|example| {
                let entry = example.entries.get(entries.len())?;
                let here = (entry.start as usize, entry.value as usize) == (start, value);
                (here && example.bytes(start, value) == source.bytes(start, value))
                    .then_some(entry.series)
            });
            match guess.map_or_else(
                || self.resolve(sources, index, example.is_none(), &layout),
                Ok,
            ) {
                Ok(series) => entries.push(Entry {
                    start: start as u32,
                    value: value as u32,
                    series,
                }),
                Err(reason) => {
                    rejected.push(start..value);
                    if reason != SUPERSEDED {
                        unusable = Some(reason);
                    }
                }
            }
            start = value + 16;
        }
        let source = &mut sources[index];
        source.entries = entries;
        source.learned = start;
        source.bad = source.bad.or(bad);
        source.unusable = source.unusable.or(unusable);
        source.rejected.append(&mut rejected);
        unusable.is_none() && !self.newest.is_new
    }

    /// Adds everything up anew.
    pub(crate) fn add_up(&mut self, sources: &[Source]) {
        self.values.clone_from(&self.initial);
        self.times.clear();
        self.times.resize(self.initial.len(), 0.0);
        let values = &mut self.values;
        for source in sources {
            match source.file.kind {
                Kind::Gauge(GaugeMode::All | GaugeMode::LiveAll) => {
                    source.values(|series, value| values[series as usize] = value);
                }
                // `min` and `max` ignore a NaN, which is also the initial value.
                Kind::Gauge(GaugeMode::Min | GaugeMode::LiveMin) => {
                    source.values(|series, value| {
                        values[series as usize] = value.min(values[series as usize]);
                    })
                }
                Kind::Gauge(GaugeMode::Max | GaugeMode::LiveMax) => {
                    source.values(|series, value| {
                        values[series as usize] = value.max(values[series as usize]);
                    })
                }
                Kind::Gauge(GaugeMode::MostRecent | GaugeMode::LiveMostRecent) => {
                    source.values_at(|series, value, time| {
                        if time > self.times[series as usize] {
                            values[series as usize] = value;
                            self.times[series as usize] = time;
                        }
                    });
                }
                Kind::Gauge(GaugeMode::Sum | GaugeMode::LiveSum)
                | Kind::Counter
                | Kind::Histogram
                | Kind::Summary => source.values(|series, value| values[series as usize] += value),
            }
        }
    }

    /// The families in the order of the output.
    pub(crate) fn sorted(&self) -> Vec<&Family> {
        let mut families: Vec<&Family> = self.families.iter().collect();
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    fn resolve(
        &mut self,
        sources: &[Source],
        index: usize,
        is_first: bool,
        layout: &EntryLayout,
    ) -> Result<u32, &'static str> {
        let file = &sources[index].file;
        let key = sources[index].bytes(layout.key.start, layout.key.end);
        if is_alone(file) {
            return self.parse(file, key, layout.value);
        }
        // The first file of a kind has no key twice, so nothing has to be looked up for it.
        if !is_first && let Some(series) = self.find(file.kind, sources, key) {
            return series;
        }
        let series = self.parse(file, key, layout.value);
        let seen = FirstSeen {
            source: index,
            key: layout.key.clone(),
            series,
        };
        self.keys.entry(file.kind).or_default().seen.push(seen);
        series
    }

    /// The series of a key that another file has too.
    fn find(
        &mut self,
        kind: Kind,
        sources: &[Source],
        key: &[u8],
    ) -> Option<Result<u32, &'static str>> {
        let keys = self.keys.get_mut(&kind)?;
        let Keys {
            seen,
            index,
            hasher,
        } = keys;
        let bytes = |number: &u32| {
            let seen = &seen[*number as usize];
            sources[seen.source].bytes(seen.key.start, seen.key.end)
        };
        let hash = |number: &u32| hasher.hash_one(bytes(number));
        for number in index.len() as u32..seen.len() as u32 {
            index.insert_unique(hash(&number), number, hash);
        }
        let same = |number: &u32| bytes(number) == key;
        let found = index.find(hasher.hash_one(key), same)?;
        Some(seen[*found as usize].series)
    }

    fn parse(&mut self, file: &ListedFile, key: &[u8], at: usize) -> Result<u32, &'static str> {
        let kind = file.kind;
        let Key {
            family,
            sample,
            mut labels,
            help,
        } = Key::parse(key).ok_or("key is not JSON")?;
        let bucket = match kind {
            Kind::Histogram => labels.iter().position(|(name, _)| name == "le"),
            _ => None,
        };
        let rank = bucket.map_or_else(
            || Rank::of_sample(kind, &sample, &family).ok_or("sample of another family"),
            |le| {
                let (_, le) = labels.remove(le);
                let is_bucket = sample.strip_prefix(&*family) == Some("_bucket");
                let bound = bound(&le).filter(|_| is_bucket);
                Ok(Rank::Bucket(bound.ok_or("bucket without a bound")?))
            },
        );
        let next = u32::try_from(self.initial.len()).map_err(|_| "too many series")?;
        let index = self.family(file, &family, &help, &labels, at)?;
        let rank = rank?;
        if kind.is_per_process() {
            labels.retain(|(name, _)| name != "pid");
            let place = labels.partition_point(|(name, _)| **name < *"pid");
            let pid = Cow::Borrowed(&*file.identifier);
            labels.insert(place, (Cow::Borrowed("pid"), pid));
        }
        let series = self.families[index].series(&labels, rank, next)?;
        if series == next {
            self.initial.push(initial(kind));
        }
        Ok(series)
    }

    /// The family of an entry, if the entry counts.
    fn family(
        &mut self,
        file: &ListedFile,
        name: &str,
        help: &str,
        labels: &[Label<'_>],
        at: usize,
    ) -> Result<usize, &'static str> {
        let age = file
            .holder
            .map(|holder| (holder.since, file.identifier.clone(), at));
        let label_names = || labels.iter().map(|(name, _)| name.clone().into_owned());
        let index = match self.by_name.get(name) {
            Some(&index) => index as usize,
            None => {
                let here = || (age.clone(), file.kind, label_names().collect());
                let newest = self.newest.definitions.get(name).cloned();
                let (age, kind, labels) = newest.map_or_else(here, |(a, k, l)| (Some(a), k, l));
                self.add_family(Family::new(kind, name, help, labels, age))?
            }
        };
        let family = &mut self.families[index];
        let is_same =
            family.kind == file.kind && label_names().eq(family.label_names.iter().cloned());
        match (&age, &family.age) {
            (age, known) if is_same && age <= known => {}
            _ if is_same => {
                family.age = age;
                help.clone_into(&mut family.help);
            }
            (Some(age), Some(known)) => {
                if age > known {
                    let definition = (age.clone(), file.kind, label_names().collect());
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
            Some(holder) if holder.lives => family.live_since = family.live_since.max(holder.since),
            Some(holder) if is_alone(file) && family.live_since > holder.since => {
                return Err(SUPERSEDED);
            }
            _ => {}
        }
        Ok(index)
    }

    /// Adds a family, unless its samples would have the names of another one's.
    fn add_family(&mut self, family: Family) -> Result<usize, &'static str> {
        let index = self.families.len();
        if family
            .samples
            .iter()
            .any(|name| self.printed.contains(name))
        {
            return Err("name of another metric");
        }
        for name in &family.samples {
            self.printed.insert(name.clone());
        }
        self.by_name.insert(family.name.clone(), index as u32);
        self.families.push(family);
        Ok(index)
    }
}

/// An upper bound as Python's `float` reads it.
fn bound(le: &str) -> Option<f64> {
    le.trim().parse().ok().filter(|bound: &f64| !bound.is_nan())
}

fn initial(kind: Kind) -> f64 {
    match kind {
        Kind::Gauge(GaugeMode::Min | GaugeMode::LiveMin | GaugeMode::Max | GaugeMode::LiveMax) => {
            f64::NAN
        }
        _ => 0.0,
    }
}

/// Whether each entry of a file has to be looked at by itself: the sample has a label of its own,
/// or counts only unless a newer process has it too.
fn is_alone(file: &ListedFile) -> bool {
    let is_past = file.holder.is_some_and(|holder| !holder.lives);
    file.kind.is_per_process() || is_past && file.kind == Kind::Gauge(GaugeMode::Sum)
}
