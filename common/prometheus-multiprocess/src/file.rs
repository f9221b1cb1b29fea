//! The files that this process writes.
//!
//! A file has two names: `counter_worker-0.db`, which everybody reads, and
//! `counter_worker-0.keep`, by which it is put back when somebody removes the first. A
//! Flask application in the tradition of `prometheus_client` removes every `*.db` when
//! it starts. The second name costs no space and nothing is copied.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    ptr::NonNull,
    sync::{Arc, Mutex},
};

use memmap2::{MmapOptions, MmapRaw};
use nix::{errno::Errno, fcntl::posix_fallocate};

use crate::{
    atomic::{AtomicU32, AtomicU64},
    cell,
    format::{self, HEADER, INITIAL_SIZE, Kind, MAX_SIZE},
    key::Key,
    lock,
};

/// A value and its time, in a mapping that stays where it is.
#[repr(C)]
#[derive(Debug, Default)]
struct Slot {
    value: AtomicU64,
    time: AtomicU64,
}

/// A [`Slot`] and what keeps it in memory.
#[derive(Clone)]
pub struct Cell {
    slot: NonNull<Slot>,
    _owner: Arc<dyn Send + Sync>,
}

// SAFETY: a `Slot` is two atomics, and the owner of its memory is `Send + Sync`.
unsafe impl Send for Cell {}
// SAFETY: as above.
unsafe impl Sync for Cell {}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cell::get(self.value()).fmt(f)
    }
}

impl Cell {
    /// A cell that no file has: what is written to it is seen by nobody.
    pub(crate) fn detached() -> Cell {
        let owner = Arc::new(Slot::default());
        Cell {
            slot: NonNull::from(&*owner),
            _owner: owner,
        }
    }

    pub(crate) fn value(&self) -> &AtomicU64 {
        &self.slot().value
    }

    pub(crate) fn time(&self) -> &AtomicU64 {
        &self.slot().time
    }

    fn slot(&self) -> &Slot {
        // SAFETY: the slot lies in memory that `_owner` keeps: an `Arc<Slot>`, or an
        // `OwnFile`, which never unmaps as long as it lives. It is aligned (see
        // `State::slot_at`) and only ever accessed by atomic operations.
        unsafe { self.slot.as_ref() }
    }
}

/// A file that this process alone appends to.
pub(crate) struct OwnFile {
    path: PathBuf,
    keep: PathBuf,
    file: File,
    state: Mutex<State>,
}

struct State {
    /// The whole file, mapped anew at each growth. The older mappings stay, because handles point
    /// into them; they show the same memory.
    maps: Vec<MmapRaw>,
    used: usize,
    /// Where each key has its value.
    places: HashMap<String, usize>,
    /// How many entries each metric family has.
    entries: HashMap<String, usize>,
}

/// What an [`OwnFile`] did about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Present,
    /// The name was gone and has been put back.
    Restored,
}

impl OwnFile {
    /// Opens the file of `identifier`, which the caller holds, and goes on from the values in
    /// it; or creates it.
    pub(crate) fn open(directory: &Path, kind: Kind, identifier: &str) -> io::Result<OwnFile> {
        let path = directory.join(kind.file_name(identifier));
        let keep = path.with_extension("keep");
        if !keep.exists() {
            match fs::hard_link(&path, &keep) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    create(&keep, &[0; HEADER])?;
                }
                result => result?,
            }
        }
        let file = OpenOptions::new().read(true).write(true).open(&keep)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(MAX_SIZE);
        // A whole number of pages; allocated all over, lest a store meets a full disk.
        let size = size
            .clamp(INITIAL_SIZE, MAX_SIZE + 1)
            .next_multiple_of(INITIAL_SIZE);
        allocate(&file, size)?;
        let mut state = State {
            maps: vec![map(&file, size)?],
            used: HEADER,
            places: HashMap::new(),
            entries: HashMap::new(),
        };
        if let Some(damaged) = state.load(&file)? {
            replace(&keep, &path, &damaged)?;
            return OwnFile::open(directory, kind, identifier);
        }
        let own = OwnFile {
            path,
            keep,
            file,
            state: Mutex::new(state),
        };
        own.relink()?;
        Ok(own)
    }

    /// The cells of `keys`, all of one family; those that are not there yet are appended
    /// together, so that no reader sees a part of them.
    pub(crate) fn cells(self: &Arc<Self>, family: &str, keys: &[String]) -> io::Result<Vec<Cell>> {
        let mut state = lock(&self.state);
        let missing: Vec<&String> = keys
            .iter()
            .filter(|key| !state.places.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            self.append(&mut state, family, &missing)?;
        }
        let cell = |key: &String| Cell {
            slot: state.slot_at(state.places[key]),
            _owner: Arc::clone(self) as Arc<dyn Send + Sync>,
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

    /// Puts the `.db` name back if it was removed.
    ///
    /// # Errors
    ///
    /// If it cannot be, because the other name is gone too: then nobody sees the values.
    pub(crate) fn relink(&self) -> io::Result<Link> {
        match self.file.metadata()?.nlink() {
            0 => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{} and {} were removed; restart this process to see its metrics again",
                    self.path.display(),
                    self.keep.display()
                ),
            )),
            1 => link(&self.keep, &self.path),
            _ => Ok(Link::Present),
        }
    }

    fn append(&self, state: &mut State, family: &str, keys: &[&String]) -> io::Result<()> {
        let size: usize = keys.iter().map(|key| format::entry_size(key.len())).sum();
        self.reserve(state, state.used + size)?;
        let mut end = state.used;
        for key in keys {
            let entry = format::entry(key);
            state.write(end, &entry);
            end += entry.len();
            state.places.insert((*key).clone(), end - 16);
        }
        state.used = end;
        *state.entries.entry(family.to_owned()).or_default() += keys.len();
        cell::publish(state.used_cell(), end as u32);
        Ok(())
    }

    /// Makes room up to `end`: allocates first, so that a full disk is an error here and not
    /// a SIGBUS at a store.
    fn reserve(&self, state: &mut State, end: usize) -> io::Result<()> {
        let mut size = state.size();
        if end <= size {
            return Ok(());
        }
        if end > MAX_SIZE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} cannot grow beyond 2 GiB", self.path.display()),
            ));
        }
        while size < end {
            size *= 2;
        }
        allocate(&self.file, size)?;
        state.maps.push(map(&self.file, size)?);
        Ok(())
    }
}

impl State {
    fn size(&self) -> usize {
        self.current().len()
    }

    fn current(&self) -> &MmapRaw {
        // `open` puts the first one in, and none is ever taken out.
        &self.maps[self.maps.len() - 1]
    }

    fn used_cell(&self) -> &AtomicU32 {
        // SAFETY: a mapping begins at a page boundary and has at least `INITIAL_SIZE`
        // bytes, all allocated; `used` is accessed by atomic operations alone.
        unsafe { &*self.current().as_mut_ptr().cast::<AtomicU32>() }
    }

    /// The slot at `offset`, which is the place of a value that `format::place` found or
    /// `append` wrote: a multiple of eight (the length field, the key and its padding are
    /// together one) and at least 16 bytes before the end of the file.
    fn slot_at(&self, offset: usize) -> NonNull<Slot> {
        assert!(offset.is_multiple_of(8) && offset + 16 <= self.size());
        // SAFETY: the offset lies within the mapping, as just asserted, and a mapping
        // is never at the null address.
        unsafe { NonNull::new_unchecked(self.current().as_mut_ptr().add(offset).cast::<Slot>()) }
    }

    /// Writes bytes behind `used`, where nobody looks yet.
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset >= self.used && offset + bytes.len() <= self.size());
        // SAFETY: the range lies within the mapping, as just asserted. No reader goes
        // beyond `used`, no handle points there, and `&mut self` excludes other writers
        // of this process; the lock on the identifier excludes other processes.
        unsafe {
            let target = self.current().as_mut_ptr().add(offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
    }

    /// Learns the entries that an earlier holder of the identifier left. If not all of them are what they should be,
    /// gives what there is.
    fn load(&mut self, file: &File) -> io::Result<Option<Damaged>> {
        let mut bytes = vec![0; self.size()];
        let mut reader = file;
        reader.read_exact(&mut bytes)?;
        let used = cell::published(self.used_cell()) as usize;
        let limit = used.min(bytes.len());
        let mut sound = vec![0; HEADER];
        while let Some(place) = format::place(|at| i32_at(&bytes, at), self.used, limit) {
            let end = place.value + 16;
            let text = std::str::from_utf8(&bytes[place.key.clone()]).ok();
            if let Some(text) = text
                && let Some(key) = Key::parse(text.as_bytes())
            {
                self.places.insert(text.to_owned(), place.value);
                *self.entries.entry(key.family.into_owned()).or_default() += 1;
                sound.extend_from_slice(&bytes[self.used..end]);
            }
            self.used = end;
        }
        let is_sound = sound.len() == used;
        Ok((!is_sound).then_some(Damaged { bytes, sound }))
    }
}

/// A file of an earlier holder of the identifier that was damaged.
struct Damaged {
    /// All of it.
    bytes: Vec<u8>,
    /// Room for the header, and the entries that are as they should be.
    sound: Vec<u8>,
}

/// Puts a file in the place of a damaged one, with what is left of it: at one bad entry Python's reader fails as a whole.
///
/// The old one is put aside. A reader that has it open notices that its name means another file now.
fn replace(keep: &Path, path: &Path, damaged: &Damaged) -> io::Result<()> {
    let copy = path.with_extension("corrupt");
    fs::write(&copy, &damaged.bytes)?;
    create(keep, &damaged.sound)?;
    let second = keep.with_extension("new");
    fs::hard_link(keep, &second)?;
    fs::rename(&second, path)?;
    log::error!(
        "metric file {} was damaged, kept {} bytes of it and saved the original as {}",
        path.display(),
        damaged.sound.len() - HEADER,
        copy.display()
    );
    Ok(())
}

/// Makes a file under its lasting name: room for the header, and entries. It is complete before it has that name.
fn create(keep: &Path, contents: &[u8]) -> io::Result<()> {
    let unfinished = keep.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    allocate(&file, contents.len().max(INITIAL_SIZE))?;
    file.write_all(&(contents.len() as u32).to_ne_bytes())?;
    file.write_all(&contents[4..])?;
    fs::rename(&unfinished, keep)
}

/// Gives the file `keep` its second name `path`, unless it has it.
pub(crate) fn link(keep: &Path, path: &Path) -> io::Result<Link> {
    match fs::hard_link(keep, path) {
        Ok(()) => Ok(Link::Restored),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Link::Present),
        Err(error) => Err(error),
    }
}

fn allocate(file: &File, size: usize) -> io::Result<()> {
    loop {
        match posix_fallocate(file, 0, size as nix::libc::off_t) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn map(file: &File, size: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().len(size).map_raw(file)
}

fn i32_at(bytes: &[u8], offset: usize) -> i32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    i32::from_ne_bytes(value)
}
