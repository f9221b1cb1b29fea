//! The files of a directory, as a scrape finds them.
//!
//! Files of ours are read through mappings that are kept from one scrape to the next:
//! their space is allocated before it is used, so a read always finds memory. A file of
//! anybody else may be sparse or cut short, and touching such a mapping would kill the
//! process by SIGBUS; those files are read with system calls.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{DirEntryExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use memmap2::{Advice, MmapOptions, MmapRaw};
use nix::libc;

use crate::{
    atomic::{AtomicU32, AtomicU64},
    cell,
    file::{self, Link},
    format::{HEADER, Kind},
    identity,
};

/// A metric file that could not be read in full, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BadFile {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

const UNKNOWN_NAME: &str = "unknown name";
/// The reason of a file that was removed after the directory was listed: it is not bad.
pub(crate) const REMOVED: &str = "removed";

/// A file that a scrape has to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) identifier: String,
    inode: u64,
    ours: bool,
}

/// What is in the directory right now.
#[derive(Default)]
pub(crate) struct Listing {
    /// Sorted by name. Live gauges of ended processes of ours are left out.
    pub(crate) files: Vec<Found>,
    pub(crate) bad: Vec<BadFile>,
    /// The identifiers that processes hold, sorted.
    pub(crate) held: BTreeSet<String>,
    /// How many files were put back.
    pub(crate) restored: usize,
}

/// Lists the directory, and puts back the files of ours that somebody removed.
pub(crate) fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut databases = BTreeMap::new();
    let mut kept = BTreeMap::new();
    let mut owned = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let name = name.to_string_lossy().into_owned();
            if name.ends_with(".db") {
                listing.bad.push(BadFile {
                    name,
                    reason: UNKNOWN_NAME,
                });
            }
            continue;
        };
        if name.ends_with(".db") {
            databases.insert(name.to_owned(), entry.ino());
        } else if let Some(stem) = name.strip_suffix(".keep") {
            kept.insert(format!("{stem}.db"), entry.ino());
        } else if let Some(identifier) = name.strip_suffix(".lock")
            && identity::is_ours(identifier)
        {
            if identity::is_held(directory, identifier) {
                listing.held.insert(identifier.to_owned());
            }
            owned.insert(identifier.to_owned());
        }
    }
    for (name, inode) in kept {
        if !databases.contains_key(&name) && listing.put_back(directory, &name)? {
            databases.insert(name, inode);
        }
    }
    for (name, inode) in databases {
        let Some((kind, identifier)) = Kind::of_file_name(&name) else {
            listing.bad.push(BadFile {
                name,
                reason: UNKNOWN_NAME,
            });
            continue;
        };
        let ours = owned.contains(identifier);
        if ours && kind.is_live() && !listing.held.contains(identifier) {
            continue;
        }
        let identifier = identifier.to_owned();
        listing.files.push(Found {
            name,
            kind,
            identifier,
            inode,
            ours,
        });
    }
    Ok(listing)
}

/// Puts the files of ours back that somebody removed, and says how many they were.
pub(crate) fn restore(directory: &Path) -> io::Result<usize> {
    list(directory).map(|listing| listing.restored)
}

impl Listing {
    /// Gives a file of ours its `.db` name again, unless its process ended and its values with it.
    fn put_back(&mut self, directory: &Path, name: &str) -> io::Result<bool> {
        match Kind::of_file_name(name) {
            Some((kind, identifier)) if !kind.is_live() || self.held.contains(identifier) => {}
            _ => return Ok(false),
        }
        let path = directory.join(name);
        match file::link(&path.with_extension("keep"), &path) {
            Ok(Link::Restored) => {
                log::warn!("metric file {} was removed, restored it", path.display());
                self.restored += 1;
                Ok(true)
            }
            Ok(Link::Present) => Ok(true),
            // Its process ended just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A file that is being read, and what is known of its entries.
pub(crate) struct Source {
    pub(crate) found: Found,
    data: Data,
    /// How many bytes can be read as entries.
    used: usize,
    /// The entries up to `learned` that count.
    pub(crate) entries: Vec<Entry>,
    /// Where the others have their keys.
    pub(crate) rejected: Vec<Range<usize>>,
    /// The first byte behind the entries that were looked at.
    pub(crate) learned: usize,
    /// Why a part of the file cannot be read now.
    pub(crate) bad: Option<&'static str>,
    /// Why entries that were looked at do not count.
    pub(crate) unusable: Option<&'static str>,
}

/// Where an entry and its value are, and to which series it belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    pub(crate) value: u32,
    pub(crate) series: u32,
}

enum Data {
    Nothing,
    Mapped(MmapRaw),
    Read { now: Vec<u8>, before: Vec<u8> },
}

impl Source {
    pub(crate) fn new(found: Found) -> Source {
        Source {
            found,
            data: Data::Nothing,
            used: 0,
            entries: Vec::new(),
            rejected: Vec::new(),
            learned: HEADER,
            bad: None,
            unusable: None,
        }
    }

    /// Looks at what the file holds now. What was learned of it stays true if this returns `true`.
    pub(crate) fn refresh(&mut self, directory: &Path) -> bool {
        self.bad = None;
        if let Err(reason) = self.load(&directory.join(&self.found.name)) {
            self.bad = Some(reason);
            self.used = 0;
            self.data = Data::Nothing;
        }
        self.learned <= self.used.max(HEADER) && self.is_unchanged()
    }

    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The length field at `offset`, four bytes within `used`.
    pub(crate) fn length_at(&self, offset: usize) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.bytes(offset, offset + 4));
        i32::from_ne_bytes(bytes)
    }

    /// Bytes of a length field or a key: they do not change once they are published.
    pub(crate) fn bytes(&self, start: usize, end: usize) -> &[u8] {
        assert!(start <= end && end <= self.used);
        match &self.data {
            Data::Nothing => &[],
            // SAFETY: the range lies within `used`, which is within the mapping, and the
            // owner writes nothing but values there once `used` is published.
            Data::Mapped(map) => unsafe {
                std::slice::from_raw_parts(map.as_ptr().add(start), end - start)
            },
            Data::Read { now, .. } => &now[start..end],
        }
    }

    /// Calls `with` for the series and the value of each entry.
    pub(crate) fn values(&self, mut with: impl FnMut(u32, f64)) {
        match &self.data {
            Data::Nothing => {}
            Data::Mapped(map) => {
                for entry in &self.entries {
                    with(entry.series, cell::get(slot(map, entry.value as usize)));
                }
            }
            Data::Read { now, .. } => {
                for entry in &self.entries {
                    with(entry.series, f64_at(now, entry.value as usize));
                }
            }
        }
    }

    /// Calls `with` for the series, the value and the time of each entry.
    pub(crate) fn values_at(&self, mut with: impl FnMut(u32, f64, f64)) {
        for entry in &self.entries {
            let offset = entry.value as usize;
            let (value, time) = match &self.data {
                Data::Nothing => return,
                Data::Mapped(map) => cell::get_at(slot(map, offset), slot(map, offset + 8)),
                Data::Read { now, .. } => (f64_at(now, offset), f64_at(now, offset + 8)),
            };
            with(entry.series, value, time);
        }
    }

    fn load(&mut self, path: &Path) -> Result<(), &'static str> {
        if self.found.ours && self.load_mapped(path)? {
            return Ok(());
        }
        self.load_read(path)
    }

    /// Maps the file, or what has been added to it. `false` if it cannot be trusted.
    fn load_mapped(&mut self, path: &Path) -> Result<bool, &'static str> {
        let metadata = fs::metadata(path).map_err(unreadable)?;
        let size = metadata.len() as usize;
        if size < HEADER || metadata.blocks() * 512 < metadata.len() {
            return Ok(false);
        }
        let mapped = match &self.data {
            Data::Mapped(map) => map.len(),
            _ => 0,
        };
        let is_new = mapped != size;
        if is_new {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .map_err(unreadable)?;
            let map = MmapOptions::new()
                .len(size)
                .map_raw(&file)
                .map_err(unreadable)?;
            self.data = Data::Mapped(map);
        }
        let Data::Mapped(map) = &self.data else {
            return Ok(false);
        };
        // SAFETY: the mapping begins at a page boundary and has at least `HEADER` bytes; `used`
        // is accessed by atomic operations alone.
        let used = cell::published(unsafe { &*map.as_ptr().cast::<AtomicU32>() });
        if is_new {
            // All of it will be read, so one fault for each page is too many; Linux before 5.14
            // does not know this advice. Up to half of the file is room for more, which nobody reads.
            let _ = map.advise_range(Advice::PopulateRead, 0, size.min(used as usize));
        }
        self.use_up_to(used as i32, size);
        Ok(true)
    }

    /// Reads the file whole, as Python's reader does: `used` first, then up to it.
    fn load_read(&mut self, path: &Path) -> Result<(), &'static str> {
        let mut file = open(path)?;
        let (mut now, before) = match std::mem::replace(&mut self.data, Data::Nothing) {
            Data::Read { now, before } => (before, now),
            _ => (Vec::new(), Vec::new()),
        };
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|_| "empty")?;
        let [a, b, c, d, ..] = header;
        let used = i32::from_ne_bytes([a, b, c, d]);
        now.clear();
        now.extend_from_slice(&header);
        let wanted = u64::try_from(used)
            .unwrap_or(0)
            .saturating_sub(HEADER as u64);
        file.take(wanted)
            .read_to_end(&mut now)
            .map_err(unreadable)?;
        let size = now.len();
        self.data = Data::Read { now, before };
        self.use_up_to(used, size);
        Ok(())
    }

    fn use_up_to(&mut self, used: i32, size: usize) {
        self.used = usize::try_from(used).unwrap_or(0).min(size);
        if used < 0 {
            self.bad = Some("corrupt header");
        } else if used as usize > size {
            self.bad = Some("truncated");
        }
    }

    /// Whether a file that was read has the same keys in the same places. A mapping pins the
    /// file, to which its owner only appends.
    fn is_unchanged(&self) -> bool {
        let Data::Read { now, before } = &self.data else {
            return true;
        };
        let keys = self
            .entries
            .iter()
            .map(|entry| entry.start as usize..entry.value as usize);
        let mut all = keys.chain(self.rejected.iter().cloned());
        all.all(|key| now.get(key.clone()) == before.get(key))
    }
}

/// Opens a regular file; a pipe of that name must not make the scrape wait.
fn open(path: &Path) -> Result<File, &'static str> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let is_file = file.metadata().map_err(unreadable)?.is_file();
    if is_file { Ok(file) } else { Err("not a file") }
}

fn unreadable(error: io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => REMOVED,
        io::ErrorKind::PermissionDenied => "permission denied",
        _ => "unreadable",
    }
}

/// The atomic at `offset`, which is eight-byte aligned and eight bytes within `used`.
fn slot(map: &MmapRaw, offset: usize) -> &AtomicU64 {
    assert!(offset.is_multiple_of(8) && offset + 8 <= map.len());
    // SAFETY: the offset is aligned and within the mapping, as just asserted; values are
    // accessed by atomic operations alone.
    unsafe { &*map.as_ptr().add(offset).cast::<AtomicU64>() }
}

fn f64_at(bytes: &[u8], offset: usize) -> f64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[offset..offset + 8]);
    f64::from_ne_bytes(value)
}
