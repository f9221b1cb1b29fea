//! Many files become one set of samples.
//!
//! Keys are parsed and ordered when they are seen first. From then on a scrape adds up numbers by
//! position: each entry of each file knows its series.

mod learn;

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::RandomState;

use crate::{
    declared::Declared,
    families::{Families, Newest, SUPERSEDED},
    family::{Rank, Sample},
    format::{EntryLayout, GaugeMode, Kind},
    key::{Key, Label},
    keys::{FirstSeen, Keys},
    list::ListedFile,
    source::Source,
};

/// What the labels of a metric whose series have label names of their own are declared as.
const OPEN: [Label<'static>; 1] = [(Cow::Borrowed("*"), Cow::Borrowed(""))];

/// The samples of all files.
pub(crate) struct Merge {
    families: Families,
    declared: Declared,
    /// Where each key was seen first. Not of files whose entries are looked at one by one.
    keys: HashMap<Kind, Keys, RandomState>,
    /// What each series is before the first file is added.
    initial: Vec<f64>,
    pub(crate) values: Vec<f64>,
    /// When the value was set, for gauges of which the most recent value counts.
    pub(crate) times: Vec<f64>,
    /// What [`Merge::find_starts`] found; empty if something was learned since.
    pub(crate) starts: Vec<f64>,
}

impl Merge {
    /// Nothing yet; `newest` is what an earlier attempt found out.
    pub(crate) fn new(newest: Newest, declared: Declared) -> Merge {
        Merge {
            families: Families::new(newest),
            declared,
            keys: HashMap::default(),
            initial: Vec::new(),
            values: Vec::new(),
            times: Vec::new(),
            starts: Vec::new(),
        }
    }

    pub(crate) fn families(&self) -> &Families {
        &self.families
    }

    /// The definitions to start over with, if one was found that is newer than what was used.
    pub(crate) fn take_newest(&mut self) -> Option<Newest> {
        self.families.take_newest()
    }

    /// How many series there are; a scrape that learns none needs no new order.
    pub(crate) fn series(&self) -> usize {
        self.initial.len()
    }

    /// Adds everything up anew.
    pub(crate) fn add_up(&mut self, sources: &[Source]) {
        self.values.clone_from(&self.initial);
        self.times.clear();
        self.times.resize(self.initial.len(), 0.0);
        let values = &mut self.values;
        // Always in one order, whoever is newest: a sum of floating-point numbers depends on it,
        // and Prometheus takes the smallest decrease for a reset.
        let mut sources: Vec<_> = sources.iter().collect();
        // Quick where most of them are in order, as those of Python are.
        sources.sort_by_key(|source| &source.file.name);
        for source in sources {
            match source.file.kind {
                Kind::Gauge(GaugeMode::All | GaugeMode::LiveAll) => {
                    source.values(values, |total, value| *total = value);
                }
                // `min` and `max` ignore a NaN, which is also the initial value.
                Kind::Gauge(GaugeMode::Min | GaugeMode::LiveMin) => {
                    source.values(values, |total, value| *total = value.min(*total));
                }
                Kind::Gauge(GaugeMode::Max | GaugeMode::LiveMax) => {
                    source.values(values, |total, value| *total = value.max(*total));
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
                | Kind::Summary => source.values(values, |total, value| *total += value),
            }
            source.release();
        }
    }

    /// Finds the start time of each series, in seconds of Unix time: that of its first entry, of
    /// whichever process. It is 0 if an entry does not tell, as those of Python do not, and infinite
    /// for gauges.
    pub(crate) fn find_starts(&mut self, sources: &[Source]) {
        if self.starts.len() == self.series() {
            return;
        }
        self.starts.resize(self.initial.len(), f64::INFINITY);
        let starts = &mut self.starts;
        for source in sources.iter().filter(|source| source.file.kind.has_start()) {
            source.values_at(|series, _, start| {
                starts[series as usize] = start.min(starts[series as usize]);
            });
            source.release();
        }
    }

    /// When a series began that has these samples; `None` if that is not known.
    pub(crate) fn start(&self, samples: &[Sample]) -> Option<f64> {
        let starts = samples
            .iter()
            .map(|sample| self.starts[sample.series as usize]);
        Some(starts.fold(f64::INFINITY, f64::min)).filter(|&start| is_known(start))
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
        if file.is_alone() {
            return self.parse(file, key, (index, layout.value));
        }
        // The first file of a kind has no key twice, so nothing has to be looked up for it.
        let known = match is_first {
            true => None,
            false => self.keys.entry(file.kind).or_default().find(sources, key),
        };
        if let Some(series) = known {
            return Ok(series);
        }
        let series = self.parse(file, key, (index, layout.value))?;
        self.keys.entry(file.kind).or_default().add(FirstSeen {
            source: index as u32,
            start: layout.key.start as u32 - 4,
            series,
        });
        Ok(series)
    }

    /// The series of an entry, which is at a place in a file.
    fn parse(
        &mut self,
        file: &ListedFile,
        key: &[u8],
        place: (usize, usize),
    ) -> Result<u32, &'static str> {
        let kind = file.kind;
        let mut key = Key::parse(key).ok_or("key is not JSON")?;
        let mut rank = Rank::of_key(kind, &mut key);
        if file.holder.is_some() {
            if !self.declared.has(&key.family) {
                return Err(SUPERSEDED);
            }
            if let Ok(Rank::Bucket(bound)) = &mut rank {
                *bound = self.declared.bucket(&key.family, *bound);
            }
        }
        let Key {
            family,
            mut labels,
            help,
            is_open,
            ..
        } = key;
        let next = u32::try_from(self.initial.len()).map_err(|_| "too many series")?;
        let declared = if is_open { &OPEN[..] } else { &labels };
        let found = self
            .families
            .of_entry(file, &family, &help, declared, place)?;
        let rank = rank?;
        if kind.is_per_process() {
            labels.retain(|(name, _)| name != "pid");
            let place = labels.partition_point(|(name, _)| **name < *"pid");
            let pid = Cow::Borrowed(&*file.identifier);
            labels.insert(place, (Cow::Borrowed("pid"), pid));
        }
        let series = found.series(&labels, rank, next)?;
        if series == next {
            self.initial.push(initial(kind));
        }
        Ok(series)
    }
}

/// Whether a start time is one.
pub(crate) fn is_known(start: f64) -> bool {
    start > 0.0 && start.is_finite()
}

fn initial(kind: Kind) -> f64 {
    match kind {
        Kind::Gauge(GaugeMode::Min | GaugeMode::LiveMin | GaugeMode::Max | GaugeMode::LiveMax) => {
            f64::NAN
        }
        _ => 0.0,
    }
}
