//! The exemplars of a process, in a file of its directory that Python does not read.
//!
//! A slot for each entry that had one, at an address that stays. What is behind it is the file, or
//! memory while the file cannot be written: an exemplar there is seen by nobody, and that is all that
//! a full disk costs.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Mutex, OnceLock,
        atomic::{
            AtomicU32,
            Ordering::{Relaxed, Release},
        },
    },
};

use nix::time::{ClockId, clock_gettime};

use crate::{
    cell,
    exemplar::{Entry, Exemplar, ExemplarSlot, SpanIds},
    file::allocate,
    home, lock,
    map::Map,
    read,
};

const FILE: &str = "exemplars";
const SLOT: usize = size_of::<ExemplarSlot>();
/// Bytes of a new file. It doubles until it is full.
const INITIAL_SIZE: usize = 64 * 1024;
/// How often it doubles: up to 16 MiB, which has 262,144 exemplars.
const DOUBLINGS: usize = 8;

/// The slots of this process.
#[derive(Default)]
pub(crate) struct Exemplars {
    /// The bytes of the file, one after the other. Each one but the first is as long as all before.
    regions: [OnceLock<Map>; DOUBLINGS + 1],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The slot of each entry.
    slots: HashMap<Entry, u32>,
    /// How many slots are taken.
    taken: usize,
    file: Option<File>,
    /// How many regions are in the file.
    in_file: usize,
    /// Whether an earlier holder of the identifier cannot have left exemplars any more.
    is_own: bool,
    /// Whether a failure was logged.
    is_logged: bool,
}

/// The slot of an entry, once it had an exemplar.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU32);

/// A [`Place`] that was not looked up yet.
const UNKNOWN: u32 = 0;
/// A [`Place`] of an entry that has no slot.
const NOWHERE: u32 = u32::MAX;

impl Exemplars {
    /// Replaces the exemplar of an entry. `find` looks its place up the first time.
    #[inline]
    pub(crate) fn put(
        &self,
        entry: Entry,
        place: &Place,
        span: SpanIds,
        value: f64,
        find: impl FnOnce() -> Option<u32>,
    ) {
        let mut known = place.0.load(Relaxed);
        if known == UNKNOWN {
            known = find().map_or(NOWHERE, |slot| slot + 1);
            place.0.store(known, Relaxed);
        }
        if known == NOWHERE {
            return;
        }
        if let Some(slot) = self.slot(known - 1) {
            let words = Exemplar::words(entry, span, value, now());
            cell::put(&slot.lock, &slot.words, words);
        }
    }

    /// The slot of an entry, which is taken if it has none; `None` if there is no more room. `home` is
    /// where the file belongs, if that is known.
    pub(crate) fn find(&self, entry: Entry, home: Option<&Path>) -> Option<u32> {
        if entry.is_none() {
            return None;
        }
        let mut state = lock(&self.state);
        if let Some(home) = home
            && !state.is_own
        {
            state.is_own = true;
            // What cannot be taken over is replaced.
            let _ = self.take_over(&mut state, home);
        }
        if let Some(slot) = state.slots.get(&entry) {
            return Some(*slot);
        }
        let number = u32::try_from(state.taken).ok()?;
        let (region, _) = region_of(number);
        let map = self.regions.get(region)?;
        if map.get().is_none() {
            let (start, end) = bounds(region);
            let memory = Map::memory(end - start).ok()?;
            map.get_or_init(|| memory);
        }
        state.taken += 1;
        state.slots.insert(entry, number);
        if let Some(home) = home {
            self.settle_locked(&mut state, home);
        }
        Some(number)
    }

    /// Makes sure that the slots are in the file, as far as that works now.
    pub(crate) fn settle(&self, home: &Path) {
        self.settle_locked(&mut lock(&self.state), home);
    }

    fn settle_locked(&self, state: &mut State, home: &Path) {
        if let Err(error) = self.write(state, &home.join(FILE))
            && !std::mem::replace(&mut state.is_logged, true)
        {
            log::warn!(
                "cannot write exemplars in {}: {error}, dropping them until it works (logged once)",
                home.display()
            );
        }
    }

    fn write(&self, state: &mut State, path: &Path) -> io::Result<()> {
        if state.taken == 0 {
            return Ok(());
        }
        if let Some(file) = &state.file
            && home::is_same(file, path)?
        {
            return self.extend(state);
        }
        let unfinished = path.with_extension("new");
        state.file = Some(home::create(&unfinished)?);
        state.in_file = 0;
        let written = self.extend(state);
        let written = written.and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // It would take the space of metrics.
            state.file = None;
            home::remove(&unfinished)?;
        }
        written
    }

    /// Puts the regions into the file that are not there yet.
    fn extend(&self, state: &mut State) -> io::Result<()> {
        let Some(file) = &state.file else {
            return Ok(());
        };
        let regions = self.regions.iter().map_while(OnceLock::get);
        for (region, map) in regions.enumerate().skip(state.in_file) {
            let (start, end) = bounds(region);
            allocate(file, start, end)?;
            map.show(file, start)?;
            state.in_file = region + 1;
        }
        Ok(())
    }

    /// Goes on with the file of an earlier holder of the identifier, unless this process has begun
    /// one, or that one is full: it may be full of what no longer exists.
    fn take_over(&self, state: &mut State, home: &Path) -> io::Result<()> {
        let path = home.join(FILE);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let Some(regions) = (1..=DOUBLINGS).find(|&regions| bounds(regions - 1).1 == size) else {
            return Ok(());
        };
        if state.taken > 0 {
            return Ok(());
        }
        // All of it, lest an update meets a full disk.
        allocate(&file, 0, size)?;
        for (region, map) in self.regions.iter().enumerate().take(regions) {
            let (start, end) = bounds(region);
            let old = Map::file(&file, start, end - start)?;
            map.get_or_init(|| old);
        }
        (state.file, state.in_file) = (Some(file), regions);
        for number in 0..(size / SLOT) as u32 {
            let Some(slot) = self.slot(number) else { break };
            free(slot);
            let words = cell::take(&slot.lock, &slot.words);
            if let Some((entry, _)) = words.and_then(Exemplar::of_words) {
                state.slots.insert(entry, number);
                state.taken = number as usize + 1;
            }
        }
        Ok(())
    }

    fn slot(&self, number: u32) -> Option<&ExemplarSlot> {
        let (region, offset) = region_of(number);
        Some(self.regions[region].get()?.exemplar(offset))
    }
}

/// The exemplars that a process left in its directory, this one or another.
pub(crate) fn read(home: &Path) -> Vec<(Entry, Exemplar)> {
    let Ok((file, found)) = read::open(&home.join(FILE)) else {
        return Vec::new();
    };
    // Its space was allocated before it got its name, so touching the mapping finds memory.
    let is_whole = found.blocks() * 512 >= found.len();
    let size = usize::try_from(found.len())
        .unwrap_or(0)
        .min(bounds(DOUBLINGS).1);
    let Ok(map) = Map::read_only(&file, size) else {
        return Vec::new();
    };
    let exemplar = |number: usize| {
        let slot = map.exemplar(number * SLOT);
        Exemplar::of_words(cell::take(&slot.lock, &slot.words)?)
    };
    let slots = 0..if is_whole { size / SLOT } else { 0 };
    slots.filter_map(exemplar).collect()
}

/// Frees a slot that a process began to write which has ended since.
fn free(slot: &ExemplarSlot) {
    let seen = slot.lock.load(Relaxed);
    if !seen.is_multiple_of(2) {
        slot.words.iter().for_each(|word| word.store(0, Relaxed));
        slot.lock.store(seen.wrapping_add(1), Release);
    }
}

/// Where a region begins and ends in the file.
fn bounds(region: usize) -> (usize, usize) {
    let end = INITIAL_SIZE << region;
    (if region == 0 { 0 } else { end / 2 }, end)
}

/// The region of a slot, and the offset in it.
fn region_of(number: u32) -> (usize, usize) {
    let offset = number as usize * SLOT;
    let region = (offset / INITIAL_SIZE)
        .checked_ilog2()
        .map_or(0, |log| log as usize + 1);
    (region, offset - bounds(region).0)
}

/// Unix time in milliseconds, as exact as the timer of the kernel, which is read quickly.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1000 + now.tv_nsec() as u64 / 1_000_000
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_follow_each_other() {
        let slots = (INITIAL_SIZE / SLOT) as u32;
        assert_eq!(region_of(0), (0, 0));
        assert_eq!(region_of(slots - 1), (0, INITIAL_SIZE - SLOT));
        assert_eq!(region_of(slots), (1, 0));
        assert_eq!(region_of(2 * slots - 1), (1, INITIAL_SIZE - SLOT));
        assert_eq!(region_of(2 * slots), (2, 0));
        assert_eq!(region_of(256 * slots).0, DOUBLINGS + 1);
    }
}
