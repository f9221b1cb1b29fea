//! Going on from a file of an earlier holder of the identifier.

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    time::SystemTime,
};

use super::{Region, State, allocate, u64_at};
use crate::{
    atomic::Ordering::Relaxed,
    cell,
    family::Rank,
    format::{self, HEADER, INITIAL_SIZE, Kind, MAX_SIZE},
    home,
    key::Key,
    map::Map,
};

/// An entry that an earlier holder wrote.
struct OldEntry {
    key: String,
    family: String,
    offset: usize,
    value: u64,
    time: u64,
}

impl State {
    /// Goes on from the file of an earlier holder of the identifier. Returns whether it is now the
    /// file of this process; its values are taken into memory otherwise.
    pub(super) fn take_over(&mut self, path: &Path, kind: Kind) -> io::Result<bool> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (entries, is_sound) = old_entries(&bytes, kind);
        if self.places.is_empty() && is_sound {
            self.adopt(path, entries)?;
            return Ok(true);
        }
        if !is_sound && !bytes.is_empty() {
            let copy = path.with_extension("corrupt");
            home::remove(&copy)?;
            // The damaged file stays until the new one takes its place, so that a death in between
            // loses nothing more.
            fs::hard_link(path, &copy).or_else(|_| fs::rename(path, &copy))?;
            log::error!(
                "metric file {} is damaged, kept {} entries and saved it as {}",
                path.display(),
                entries.len(),
                copy.display()
            );
        }
        for entry in entries {
            self.absorb(&entry, kind)?;
        }
        self.inherits = false;
        Ok(false)
    }

    /// Uses a file as it is.
    fn adopt(&mut self, path: &Path, entries: Vec<OldEntry>) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_SIZE);
        let size = size
            .clamp(INITIAL_SIZE, MAX_SIZE + 1)
            .next_multiple_of(INITIAL_SIZE);
        // All of it, lest an update meets a full disk. Nobody else writes to the file now.
        allocate(&file, 0, size)?;
        let map = Map::file(&file, 0, size)?;
        // Readers tell by the time that the file is this process's now.
        file.set_modified(SystemTime::now())?;
        self.used = cell::published(map.used()) as usize;
        // No cell points to the memory that goes, because there were no entries.
        let (offset, from) = (0, 0);
        self.regions = vec![Region { offset, from, map }];
        for OldEntry {
            key,
            family,
            offset,
            ..
        } in entries
        {
            self.places.insert(key, offset);
            *self.entries.entry(family).or_default() += 1;
        }
        self.file = Some(file);
        self.inherits = false;
        self.in_memory = false;
        Ok(())
    }

    /// Adds what an earlier holder counted, from its start time on. A gauge that was set in the
    /// meantime stays.
    fn absorb(&mut self, old: &OldEntry, kind: Kind) -> io::Result<()> {
        let is_known = self.places.contains_key(&old.key);
        if !is_known {
            self.append(&old.family, &[&old.key], kind)?;
        }
        let slot = self.slot(self.places[&old.key]);
        if kind.has_start() {
            cell::add(&slot.value, f64::from_bits(old.value));
            // Positive numbers have the order of their bits. 0 stands for an unknown start.
            slot.time.fetch_min(old.time, Relaxed);
        } else if !is_known {
            slot.value.store(old.value, Relaxed);
            slot.time.store(old.time, Relaxed);
        }
        Ok(())
    }
}

/// The entries of a file, and whether they are all that it holds.
fn old_entries<'a>(bytes: &'a [u8], kind: Kind) -> (Vec<OldEntry>, bool) {
    let mut entries = Vec::new();
    if bytes.len() < HEADER {
        return (entries, false);
    }
    let used = i32_at(bytes, 0);
    let limit = usize::try_from(used).unwrap_or(0).min(bytes.len());
    let (mut position, mut is_sound) = (HEADER, true);
    while let Some(layout) = format::layout(|at| i32_at(bytes, at), position, limit) {
        position = layout.value + 16;
        let text = std::str::from_utf8(&bytes[layout.key]).ok();
        let parse = |text: &'a str| {
            let mut key = Key::parse(text.as_bytes())?;
            Rank::of_key(kind, &mut key).ok()?;
            Some((text, key))
        };
        let Some((text, key)) = text.and_then(parse) else {
            is_sound = false;
            continue;
        };
        entries.push(OldEntry {
            key: text.to_owned(),
            family: key.family.into_owned(),
            offset: layout.value,
            value: u64_at(bytes, layout.value),
            time: u64_at(bytes, layout.value + 8),
        });
    }
    (entries, is_sound && i32::try_from(position) == Ok(used))
}

fn i32_at(bytes: &[u8], offset: usize) -> i32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    i32::from_ne_bytes(value)
}
