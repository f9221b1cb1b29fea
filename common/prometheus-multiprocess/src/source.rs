//! A metric file, as a scrape reads it.
//!
//! Files of ours are read through mappings that are kept from one scrape to the next:
//! their space is allocated before it is used, so a read always finds memory. A file of
//! anybody else may be sparse or cut short, and touching such a mapping would kill the
//! process by SIGBUS; those files are read with system calls.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{
    cell,
    copied::{Copied, Scratch},
    format::{self, EntryLayout, HEADER},
    learned::{Learned, REJECTED},
    list::ListedFile,
    map::Map,
    read::{self, UNREADABLE, unreadable},
};

/// A file that is being read, and what is known of its entries.
pub(crate) struct Source {
    pub(crate) file: ListedFile,
    data: Data,
    /// How many bytes can be read as entries.
    used: usize,
    pub(crate) learned: Learned,
    /// Whether what is mapped stays in memory until the next scrape.
    pub(crate) stays: bool,
    /// Why a part of the file cannot be read now.
    bad: Option<&'static str>,
}

enum Data {
    Nothing,
    /// With its device and inode.
    Mapped(Map, (u64, u64)),
    Copied(Copied),
}

impl Source {
    pub(crate) fn new(file: ListedFile) -> Source {
        Source {
            file,
            data: Data::Nothing,
            used: 0,
            learned: Learned::default(),
            stays: true,
            bad: None,
        }
    }

    /// Looks at what the file holds now, or at `image`, which stands for it. What was learned of
    /// it stays true if this returns `true`.
    pub(crate) fn refresh(
        &mut self,
        directory: &Path,
        image: Option<&Vec<u8>>,
        scratch: &mut Scratch,
    ) -> bool {
        self.bad = None;
        let before = self.inode();
        let loaded = match image {
            Some(image) => Ok(self.use_bytes(image, scratch)),
            None => self.load(&directory.join(&self.file.name), scratch),
        };
        let is_unchanged = loaded.unwrap_or_else(|reason| {
            self.bad = Some(reason);
            // A sum that falls for a moment looks like a restart of the service.
            let stays = UNREADABLE.contains(&reason);
            if !stays {
                self.used = 0;
                self.data = Data::Nothing;
            }
            stays
        });
        let is_known = is_unchanged && self.learned.end <= self.used.max(HEADER);
        self.learned.is_empty() || is_known && self.inode() == before
    }

    /// The device and the inode of the file that is mapped.
    fn inode(&self) -> Option<(u64, u64)> {
        match &self.data {
            Data::Mapped(_, inode) => Some(*inode),
            _ => None,
        }
    }

    /// How many bytes a refresh copies, by the last one.
    pub(crate) fn copied(&self) -> usize {
        match &self.data {
            Data::Copied(_) => self.used,
            _ => 0,
        }
    }

    /// Gives memory back, unless it stays.
    pub(crate) fn release(&self) {
        if let Data::Mapped(map, _) = &self.data
            && !self.stays
        {
            map.release();
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// How many bytes of entries have not been looked at.
    pub(crate) fn unread(&self) -> usize {
        self.used.saturating_sub(self.learned.end)
    }

    /// Up to which byte both files have the same entries, except for their values, from the byte
    /// `start` on.
    pub(crate) fn same_until(&self, other: &Source, start: usize) -> usize {
        let used = self.used.min(other.used);
        let mut end = start;
        while let Some(EntryLayout { value, .. }) =
            format::layout(|at| self.length_at(at), end, used)
            && self.bytes(end, value) == other.bytes(end, value)
        {
            end = value + 16;
        }
        end
    }

    /// Why a part of the file does not count.
    pub(crate) fn bad(&self) -> Option<&'static str> {
        let corrupt = (self.unread() > 0).then_some("corrupt entry");
        self.bad.or(corrupt).or(self.learned.unusable)
    }

    /// The length field at `offset`, four bytes within `used`.
    pub(crate) fn length_at(&self, offset: usize) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.bytes(offset, offset + 4));
        i32::from_ne_bytes(bytes)
    }

    /// The key of the entry that begins at `start`, which was looked at. It is empty if a program
    /// that does not keep to the format has written another length there.
    pub(crate) fn key_at(&self, start: usize) -> &[u8] {
        let length = usize::try_from(self.length_at(start)).unwrap_or(0);
        let (key, end) = (start + 4, start + 4 + length);
        self.bytes(key, if end <= self.used { end } else { key })
    }

    /// Bytes of a length field or a key: they do not change once they are published.
    pub(crate) fn bytes(&self, start: usize, end: usize) -> &[u8] {
        assert!(start <= end && end <= self.used);
        match &self.data {
            Data::Nothing => &[],
            // SAFETY: the owner writes nothing but values there once `used` is published.
            Data::Mapped(map, _) => unsafe { map.bytes(start, end) },
            Data::Copied(copied) => copied.bytes(start, end),
        }
    }

    /// Calls `with` for each entry that counts: with the number in `totals` of its series, and with
    /// its value.
    pub(crate) fn values(&self, totals: &mut [f64], with: impl Fn(&mut f64, f64)) {
        let mut add = |series: u32, value| {
            // There is none for an entry that was rejected.
            if let Some(total) = totals.get_mut(series as usize) {
                with(total, value);
            }
        };
        let entries = self.learned.entries.iter();
        match &self.data {
            Data::Nothing => {}
            Data::Mapped(map, _) => entries.for_each(|entry| {
                let slot = map.slot(entry.value as usize);
                add(entry.series, cell::get(&slot.value));
            }),
            Data::Copied(copied) => {
                let all = entries.zip(copied.values());
                all.for_each(|(entry, [value, _])| add(entry.series, *value));
            }
        }
    }

    /// Calls `with` for the series, the value and the time of each entry that counts.
    pub(crate) fn values_at(&self, mut with: impl FnMut(u32, f64, f64)) {
        let entries = self.learned.entries.iter().enumerate();
        for (number, entry) in entries.filter(|(_, entry)| entry.series != REJECTED) {
            let (value, time) = match &self.data {
                Data::Nothing => return,
                Data::Mapped(map, _) => {
                    let slot = map.slot(entry.value as usize);
                    cell::get_at(&slot.value, &slot.time)
                }
                Data::Copied(copied) => copied.values()[number].into(),
            };
            with(entry.series, value, time);
        }
    }

    /// Whether the known entries are where they were.
    fn load(&mut self, path: &Path, scratch: &mut Scratch) -> Result<bool, &'static str> {
        // A mapping pins the file, to which its owner only appends.
        if self.file.holder.is_some() && self.load_mapped(path)? {
            return Ok(true);
        }
        scratch.read(path, |bytes, scratch| self.use_bytes(bytes, scratch))
    }

    /// Maps the file, or what has been added to it. `false` if it cannot be trusted.
    fn load_mapped(&mut self, path: &Path) -> Result<bool, &'static str> {
        // A file that is mapped already takes no descriptor.
        let found = fs::metadata(path).map_err(unreadable)?;
        let is_known = |data: &Data| {
            matches!(data, Data::Mapped(map, inode)
                if *inode == inode_of(&found) && map.length() as u64 == found.len())
        };
        if !is_known(&self.data) {
            // What is mapped is what was asked about, whatever has taken the name meanwhile.
            let (file, found) = read::open(path)?;
            let size = usize::try_from(found.len()).map_err(|_| "too large")?;
            if size < HEADER || found.blocks() * 512 < found.len() {
                return Ok(false);
            }
            let map = Map::read_only(&file, size).map_err(unreadable)?;
            self.data = Data::Mapped(map, inode_of(&found));
        }
        let Data::Mapped(map, _) = &self.data else {
            return Ok(false);
        };
        let used = cell::published(map.used());
        let size = map.length();
        self.use_up_to(used as i32, size);
        Ok(true)
    }

    /// Goes on with other bytes. Returns whether the known entries are in the same places in both.
    fn use_bytes(&mut self, bytes: &[u8], scratch: &mut Scratch) -> bool {
        self.use_up_to(read::used(bytes), bytes.len());
        if !matches!(self.data, Data::Copied(_)) {
            self.data = Data::Copied(Copied::default());
        }
        let Data::Copied(copied) = &mut self.data else {
            return false;
        };
        copied.replace(&bytes[..self.used], scratch) >= self.learned.end
    }

    fn use_up_to(&mut self, used: i32, size: usize) {
        self.used = usize::try_from(used).unwrap_or(0).min(size);
        if used < 0 {
            self.bad = Some("corrupt header");
        } else if used as usize > size {
            self.bad = Some("truncated");
        }
    }
}

fn inode_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
