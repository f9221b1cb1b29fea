//! Many files become one set of samples.
//!
//! Keys are parsed and ordered when they are seen first. From then on a scrape adds up numbers by
//! position: each entry of each file knows its series.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use crate::{
    family::{Family, Rank},
    format::{self, GaugeMode, Kind, Place},
    hash::{Fold, Index},
    key::Key,
    scan::{Entry, Found, Source},
};

/// The samples of all files.
pub(crate) struct Merge {
    pub(crate) families: Vec<Family>,
    by_name: HashMap<String, u32, Fold>,
    /// Where each key was seen first. Not of gauges with a sample per process, whose keys
    /// are the same in each file.
    keys: HashMap<Kind, Keys, Fold>,
    /// What each series is before the first file is added.
    initial: Vec<f64>,
    pub(crate) values: Vec<f64>,
    /// When the value was set, for gauges of which the most recent value counts.
    pub(crate) times: Vec<f64>,
}

/// The keys of one kind.
struct Keys {
    seen: Vec<Seen>,
    /// Finds the first `indexed` of them; made when the first key has to be looked up.
    index: Index,
    indexed: usize,
}

impl Keys {
    fn new() -> Keys {
        Keys {
            seen: Vec::new(),
            index: Index::new(),
            indexed: 0,
        }
    }
}

/// An entry whose key was seen for the first time.
struct Seen {
    source: usize,
    key: Range<usize>,
    series: Result<u32, &'static str>,
}

impl Merge {
    pub(crate) fn new() -> Merge {
        let hash = Fold::seeded();
        Merge {
            families: Vec::new(),
            by_name: HashMap::with_hasher(hash),
            keys: HashMap::with_hasher(hash),
            initial: Vec::new(),
            values: Vec::new(),
            times: Vec::new(),
        }
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
        let kind = source.found.kind;
        let example = index.checked_sub(1).map(|before| &sources[before]);
        let example =
            example.filter(|example| example.found.kind == kind && !kind.is_per_process());
        if let Some(example) = example {
            entries.reserve(example.entries.len().saturating_sub(entries.len()));
        }
        let mut start = source.learned;
        while start < source.used() {
            let Some(place) = format::place(|at| source.length_at(at), start, source.used()) else {
                bad = Some("corrupt entry");
                break;
            };
            let value = place.value;
            let guess = example.and_then(|example| {
                let entry = example.entries.get(entries.len())?;
                let here = (entry.start as usize, entry.value as usize) == (start, value);
                (here && example.bytes(start, value) == source.bytes(start, value))
                    .then_some(entry.series)
            });
            match guess.map_or_else(
                || self.resolve(sources, index, example.is_none(), &place),
                Ok,
            ) {
                Ok(series) => entries.push(Entry {
                    start: start as u32,
                    value: value as u32,
                    series,
                }),
                Err(reason) => {
                    rejected.push(start..value);
                    unusable = Some(reason);
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
        unusable.is_none()
    }

    /// Adds everything up anew.
    pub(crate) fn add_up(&mut self, sources: &[Source]) {
        self.values.clone_from(&self.initial);
        self.times.clear();
        self.times.resize(self.initial.len(), 0.0);
        let values = &mut self.values;
        for source in sources {
            match source.found.kind {
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
        place: &Place,
    ) -> Result<u32, &'static str> {
        let Found {
            kind, identifier, ..
        } = &sources[index].found;
        let key = sources[index].bytes(place.key.start, place.key.end);
        if kind.is_per_process() {
            return self.parse(*kind, Some(identifier), key);
        }
        // The first file of a kind has no key twice, so nothing has to be looked up for it.
        if !is_first && let Some(series) = self.find(*kind, sources, key) {
            return series;
        }
        let series = self.parse(*kind, None, key);
        let seen = Seen {
            source: index,
            key: place.key.clone(),
            series,
        };
        let keys = self.keys.entry(*kind).or_insert_with(Keys::new);
        keys.seen.push(seen);
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
        let bytes = |seen: &Seen| sources[seen.source].bytes(seen.key.start, seen.key.end);
        for number in keys.indexed..keys.seen.len() {
            keys.index.insert(bytes(&keys.seen[number]), number as u32);
        }
        keys.indexed = keys.seen.len();
        let found = keys
            .index
            .find(key, |number| bytes(&keys.seen[number as usize]) == key)?;
        Some(keys.seen[found as usize].series)
    }

    fn parse(&mut self, kind: Kind, pid: Option<&str>, key: &[u8]) -> Result<u32, &'static str> {
        let key = Key::parse(key).ok_or("key is not JSON")?;
        let Key {
            family,
            sample,
            mut labels,
            help,
        } = key;
        let rank = match kind {
            Kind::Histogram => match labels.iter().position(|(name, _)| name == "le") {
                Some(le) => {
                    let (_, le) = labels.remove(le);
                    Rank::Bucket(bound(&le).ok_or("bucket without a bound")?)
                }
                // The buckets say how many there were.
                None if sample.strip_prefix(&*family) == Some("_count") => {
                    return Err("histogram with a stored count");
                }
                None => Rank::of_suffix(&sample, &family),
            },
            Kind::Summary => Rank::of_suffix(&sample, &family),
            Kind::Counter | Kind::Gauge(_) => Rank::Other(0),
        };
        if let Some(pid) = pid {
            labels.retain(|(name, _)| name != "pid");
            let place = labels.partition_point(|(name, _)| **name < *"pid");
            labels.insert(place, (Cow::Borrowed("pid"), Cow::Borrowed(pid)));
        }
        let next = u32::try_from(self.initial.len()).map_err(|_| "too many series")?;
        let family = self.family(kind, &family, &help)?;
        let series = family.series(&labels, rank, &sample, next);
        if series == next {
            self.initial.push(initial(kind));
        }
        Ok(series)
    }

    fn family(&mut self, kind: Kind, name: &str, help: &str) -> Result<&mut Family, &'static str> {
        let index = match self.by_name.get(name) {
            Some(&index) => index as usize,
            None => {
                self.by_name
                    .insert(name.to_owned(), self.families.len() as u32);
                self.families.push(Family::new(kind, name, help));
                self.families.len() - 1
            }
        };
        let family = &mut self.families[index];
        if family.kind == kind {
            Ok(family)
        } else {
            Err("type differs from another file's")
        }
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
