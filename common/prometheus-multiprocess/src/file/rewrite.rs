//! Writing all entries to a new file, where there was none, or another one took its place.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use super::{State, allocate, u64_at};
use crate::{
    atomic::Ordering::Relaxed,
    cell,
    format::{self, Kind},
    home,
    map::Map,
};

impl State {
    /// The bytes of the file with all entries.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.used];
        bytes[..4].copy_from_slice(&(self.used as u32).to_ne_bytes());
        for (key, &offset) in &self.places {
            let entry = format::entry(key, 0.0);
            let slot = self.slot(offset);
            let start = offset + 16 - entry.len();
            bytes[start..start + entry.len()].copy_from_slice(&entry);
            // In this order: see `cell::set_at`.
            let (value, time) = cell::get_at(&slot.value, &slot.time);
            bytes[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
            bytes[offset + 8..offset + 16].copy_from_slice(&time.to_ne_bytes());
        }
        bytes
    }

    /// Writes all entries to a new file and puts it in the place of what is mapped, and at `path`.
    pub(super) fn rewrite(&mut self, path: &Path, kind: Kind) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file = home::create(&unfinished)?;
        allocate(&file, 0, self.end())?;
        let aliases = self.regions.iter().map(|region| region.map.alias());
        let aliases = aliases.collect::<io::Result<Vec<Map>>>()?;
        let image = self.image();
        file.write_all(&image)?;
        // If it fails from here on, everything is written once more.
        self.in_memory = true;
        for region in &self.regions {
            region.map.show(&file, region.offset)?;
        }
        // What was counted since the image was made.
        for &offset in self.places.values() {
            let index = self.region_of(offset);
            let from = aliases[index].slot(offset - self.regions[index].offset);
            let to = self.slot(offset);
            cell::carry(&from.value, u64_at(&image, offset), &to.value);
            if kind.is_most_recent() {
                to.time.fetch_max(from.time.load(Relaxed), Relaxed);
            }
        }
        self.file = Some(file);
        self.in_memory = false;
        self.failure = None;
        fs::rename(&unfinished, path)
    }
}
