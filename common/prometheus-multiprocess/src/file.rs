//! A file that this process writes, or memory in its place while the file cannot be written.
//!
//! Handles point to addresses that stay the same. Behind them is the file, or memory that is laid
//! out as the file would be; when the file can be written again, it takes the place of that memory.

mod rewrite;
mod takeover;

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use nix::{
    errno::Errno,
    fcntl::posix_fallocate,
    libc::off_t,
    unistd::{SysconfVar, sysconf},
};

use crate::{
    cell,
    exemplar::Entry,
    format::{self, HEADER, INITIAL_SIZE, Kind, MAX_SIZE},
    home, lock,
    map::{Cell, Map, Slot},
};

/// The metrics of one kind of this process. It alone appends to them.
pub(crate) struct OwnFile {
    kind: Kind,
    state: Mutex<State>,
}

struct State {
    /// The bytes of the file, one after the other.
    regions: Vec<Region>,
    used: usize,
    /// Where each key has its value.
    places: HashMap<String, usize>,
    /// How many entries each metric family has.
    entries: HashMap<String, usize>,
    /// The file, if there was one.
    file: Option<File>,
    /// Whether the file lacks entries, which are in memory.
    in_memory: bool,
    /// Whether a file of an earlier holder of the identifier has yet to be taken over.
    inherits: bool,
    /// Why entries are in memory, until somebody asks.
    failure: Option<io::Error>,
}

/// A part of the file, which overlaps the one before it by less than a page.
struct Region {
    /// Its first byte, at a page boundary.
    offset: usize,
    /// The first entry in it that is not in the region before.
    from: usize,
    map: Map,
}

impl OwnFile {
    /// An empty file that is not written yet.
    pub(crate) fn new(kind: Kind) -> io::Result<OwnFile> {
        let region = Region {
            offset: 0,
            from: 0,
            map: Map::memory(INITIAL_SIZE)?,
        };
        Ok(OwnFile {
            kind,
            state: Mutex::new(State {
                regions: vec![region],
                used: HEADER,
                places: HashMap::new(),
                entries: HashMap::new(),
                file: None,
                in_memory: true,
                inherits: true,
                failure: None,
            }),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The cells of `keys`, all of one family; those that are not there yet are appended
    /// together, so that no reader sees a part of them.
    pub(crate) fn cells(self: &Arc<Self>, family: &str, keys: &[String]) -> io::Result<Vec<Cell>> {
        let mut state = lock(&self.state);
        let missing: Vec<&String> = keys
            .iter()
            .filter(|key| !state.places.contains_key(*key))
            .collect();
        state.append(family, &missing, self.kind)?;
        let cell = |key: &String| {
            let owner = Arc::clone(self) as Arc<dyn Send + Sync>;
            let offset = state.places[key];
            Cell::new(
                state.slot(offset),
                Entry::new(self.kind, offset, key),
                owner,
            )
        };
        Ok(keys.iter().map(cell).collect())
    }

    /// Whether there is an entry with this key.
    pub(crate) fn has(&self, key: &str) -> bool {
        lock(&self.state).places.contains_key(key)
    }

    /// How many entries `family` has, those of earlier holders of the identifier included.
    pub(crate) fn entries_of(&self, family: &str) -> usize {
        lock(&self.state).entries.get(family).copied().unwrap_or(0)
    }

    /// The keys of the entries of `family`, a name without special characters.
    pub(crate) fn keys_of(&self, family: &str) -> Vec<String> {
        let start = format!("[\"{family}\", ");
        let state = lock(&self.state);
        let keys = state.places.keys().filter(|key| key.starts_with(&start));
        keys.cloned().collect()
    }

    /// Why entries are in memory, once for each time that this begins.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        lock(&self.state).failure.take()
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        lock(&self.state).in_memory
    }

    /// What the file would be, if it lacks entries that are in memory.
    pub(crate) fn unwritten(&self) -> Option<Vec<u8>> {
        let state = lock(&self.state);
        state.in_memory.then(|| state.image())
    }

    /// Makes sure that all entries are in the file at `path`. Returns whether they were not.
    /// `is_new` says that the process has just taken the identifier, so that a file there is
    /// an earlier holder's, whose values go on.
    pub(crate) fn settle(&self, path: &Path, is_new: bool) -> io::Result<bool> {
        let mut state = lock(&self.state);
        state.inherits |= is_new;
        let is_there = |file: &File| home::is_same(file, path);
        if !state.in_memory && state.file.as_ref().map(is_there).transpose()? == Some(true) {
            return Ok(false);
        }
        if state.inherits && state.take_over(path, self.kind)? {
            return Ok(true);
        }
        state.rewrite(path, self.kind)?;
        Ok(true)
    }
}

impl State {
    /// The byte behind the last region.
    fn end(&self) -> usize {
        let last = self.regions.last();
        last.map_or(0, |last| last.offset + last.map.length())
    }

    /// The slot of the value at `offset`, which is a multiple of eight: the length field, the key
    /// and its padding are together one.
    fn slot(&self, offset: usize) -> &Slot {
        let index = self.region_of(offset);
        self.regions[index]
            .map
            .slot(offset - self.regions[index].offset)
    }

    fn region_of(&self, offset: usize) -> usize {
        // The first region begins at zero.
        self.regions.partition_point(|region| region.from <= offset) - 1
    }

    fn append(&mut self, family: &str, keys: &[&String], kind: Kind) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        // Before any increment, since no cell points to the entries yet.
        let time = if kind.has_start() { now() } else { 0.0 };
        let size: usize = keys.iter().map(|key| format::entry_size(key.len())).sum();
        self.reserve(self.used + size)?;
        let mut end = self.used;
        for key in keys {
            let entry = format::entry(key, time);
            let region = &self.regions[self.region_of(end)];
            // SAFETY: no reader goes beyond `used`, no cell points there, and `&mut self` excludes
            // other writers of this process; the lock on the identifier excludes other processes.
            unsafe { region.map.write(end - region.offset, &entry) };
            end += entry.len();
            self.places.insert((*key).clone(), end - 16);
        }
        self.used = end;
        *self.entries.entry(family.to_owned()).or_default() += keys.len();
        if !self.in_memory {
            cell::publish(self.regions[0].map.used(), end as u32);
        }
        Ok(())
    }

    /// Makes room up to `end`, in memory if the file cannot grow.
    fn reserve(&mut self, end: usize) -> io::Result<()> {
        let (old, mut size) = (self.end(), self.end());
        if end <= old {
            return Ok(());
        }
        if end > MAX_SIZE {
            let message = "a metric file cannot grow beyond 2 GiB";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        while size < end {
            size *= 2;
        }
        let offset = self.used - self.used % page();
        let mut grown = None;
        if let Some(file) = self.file.as_ref().filter(|_| !self.in_memory) {
            // Only the new part: where the C library emulates this call, it writes.
            let map =
                allocate(file, old, size).and_then(|()| Map::file(file, offset, size - offset));
            match map {
                Ok(map) => grown = Some(map),
                Err(error) => self.failure = Some(error),
            }
        }
        self.in_memory |= grown.is_none();
        let map = match grown {
            Some(map) => map,
            None => Map::memory(size - offset)?,
        };
        let from = self.used;
        self.regions.push(Region { offset, from, map });
        Ok(())
    }
}

/// Allocates the bytes of a file from `start` to `end`, so that a full disk is an error here and
/// not a SIGBUS at an update.
pub(crate) fn allocate(file: &File, start: usize, end: usize) -> io::Result<()> {
    loop {
        match posix_fallocate(file, start as off_t, (end - start) as off_t) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Unix time in seconds, rounded down to a millisecond, the unit of Prometheus.
fn now() -> f64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    now.as_millis() as f64 / 1e3
}

fn page() -> usize {
    match sysconf(SysconfVar::PAGE_SIZE) {
        Ok(Some(size)) => size as usize,
        _ => 4096,
    }
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    u64::from_ne_bytes(value)
}
