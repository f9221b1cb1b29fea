//! What the master and its workers see of each other, in memory that they share.
//!
//! A worker writes to the row of its process, the master to the tally of each
//! slot. Both are read whenever anybody likes, and what a worker wrote survives
//! the worker's death: no message can be lost or block anybody.

use std::{
    fs::File,
    io, mem,
    os::fd::{AsFd as _, OwnedFd},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use memmap2::{MmapOptions, MmapRaw};
use nix::{
    sys::memfd::{MFdFlags, memfd_create},
    unistd::Pid,
};

use crate::{MAX_WORKERS, activity::Activity, tally::Tally};

/// Changes with the layout, so that a worker of another build notices.
const VERSION: u32 = 4;

/// The error of a worker that cannot read the scoreboard of its master.
pub(crate) const OTHER_BUILD: &str = "the master runs another build of this program with an \
                                      incompatible scoreboard; stop the master and start it again";

/// A slot may have several processes for a while: one that serves, one that
/// boots to take over from it, and some that finish.
pub(crate) const ROWS: u16 = 3 * MAX_WORKERS;

/// The shared memory. All zeros is a valid state of it, and a worker may write
/// any bytes: every field is an atomic integer, and every integer is a value.
pub(crate) struct Scoreboard {
    memory: MmapRaw,
}

#[repr(C)]
struct Layout {
    header: Header,
    tallies: [Tally; MAX_WORKERS as usize],
    rows: [Row; ROWS as usize],
}

/// Two cache lines, since processors fetch them in pairs: what one worker
/// writes must not slow down another.
#[repr(C, align(128))]
struct Header {
    version: AtomicU32,
    /// Whether the whole server stops, not one worker alone.
    stopping: AtomicU32,
    /// Reloads that replaced every worker, and those that did not.
    reloads: [AtomicU32; 2],
}

/// What is known of one process.
#[derive(Default)]
#[repr(C, align(128))]
pub(crate) struct Row {
    pub(crate) activity: Activity,
    /// How far the process has come, by its own word.
    state: AtomicU32,
    /// What the master made of it, a [`Role`].
    role: AtomicU32,
    /// Whether nobody will accept from its socket when it has gone.
    last: AtomicU32,
    slot: AtomicU32,
    pid: AtomicU32,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum State {
    /// The process was started.
    Booting,
    /// It answers requests.
    Ready,
    /// It accepts no new connections.
    Draining,
    /// It ended with an error, which it has printed.
    Failed,
}

/// What a process is to its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Role {
    /// There is no process: the row is free.
    None,
    /// New connections are meant for it.
    Current,
    /// It boots, to take over from the current one.
    Replacement,
    /// Another has taken over from it, or nobody needs to.
    Retired,
}

impl Scoreboard {
    /// Creates shared memory, and returns the descriptor that opens it elsewhere.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = memfd_create("scoreboard", MFdFlags::MFD_CLOEXEC)?;
        let file = File::from(memory);
        file.set_len(mem::size_of::<Layout>() as u64)?;
        let board = Self::map(&file)?;
        board.layout().header.version.store(VERSION, Release);
        Ok((board, file.into()))
    }

    /// Opens the memory that the master created.
    ///
    /// # Errors
    ///
    /// Fails if the master is of a build with another layout.
    pub(crate) fn open(memory: OwnedFd) -> io::Result<Self> {
        let other_build = || io::Error::other(OTHER_BUILD);
        let file = File::from(memory);
        if file.metadata()?.len() != mem::size_of::<Layout>() as u64 {
            return Err(other_build());
        }
        let board = Self::map(&file)?;
        if board.layout().header.version.load(Acquire) != VERSION {
            return Err(other_build());
        }
        Ok(board)
    }

    fn map(file: &File) -> io::Result<Self> {
        let memory = MmapOptions::new()
            .len(mem::size_of::<Layout>())
            .map_raw(&file.as_fd())?;
        Ok(Self { memory })
    }

    fn layout(&self) -> &Layout {
        // SAFETY: The mapping has the size of `Layout`, starts at a page boundary,
        // which is a multiple of 128, and lives as long as `self`. The file behind
        // it is never shortened: only this module has its descriptor, and it sets
        // the length once. `Layout` consists of atomic integers, so that any bytes
        // are a value and other processes may write at any time.
        unsafe { &*self.memory.as_ptr().cast::<Layout>() }
    }

    /// A row, by its number below [`ROWS`].
    pub(crate) fn row(&self, row: u16) -> &Row {
        &self.layout().rows[usize::from(row)]
    }

    /// What the master counts for `slot`, which is below [`MAX_WORKERS`].
    pub(crate) fn tally(&self, slot: u16) -> &Tally {
        &self.layout().tallies[usize::from(slot)]
    }

    /// Tells the workers that the whole server stops.
    pub(crate) fn set_stopping(&self) {
        self.layout().header.stopping.store(1, Release);
    }

    pub(crate) fn stopping(&self) -> bool {
        self.layout().header.stopping.load(Acquire) != 0
    }

    pub(crate) fn count_reload(&self, success: bool) {
        self.layout().header.reloads[usize::from(!success)].fetch_add(1, Relaxed);
    }

    /// Reloads that replaced every worker, and those that did not.
    pub(crate) fn reloads(&self) -> [u32; 2] {
        let [done, failed] = &self.layout().header.reloads;
        [done.load(Relaxed), failed.load(Relaxed)]
    }
}

impl Row {
    /// Makes the row ready for a new process of `slot`, which has no pid yet.
    pub(crate) fn reset(&self, slot: u16, role: Role) {
        self.activity.reset();
        self.slot.store(slot.into(), Relaxed);
        self.pid.store(0, Relaxed);
        self.last.store(0, Relaxed);
        self.set(State::Booting);
        self.set_role(role);
    }

    pub(crate) fn set_pid(&self, pid: Pid) {
        self.pid.store(pid.as_raw().cast_unsigned(), Relaxed);
    }

    pub(crate) fn set_role(&self, role: Role) {
        // Whoever sees the role sees what the row held when it got it.
        self.role.store(role as u32, Release);
    }

    pub(crate) fn role(&self) -> Role {
        match self.role.load(Acquire) {
            0 => Role::None,
            1 => Role::Current,
            2 => Role::Replacement,
            _ => Role::Retired,
        }
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot.load(Relaxed) as u16
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    pub(crate) fn set(&self, state: State) {
        self.state.store(state as u32, Release);
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Acquire) {
            0 => State::Booting,
            1 => State::Ready,
            2 => State::Draining,
            _ => State::Failed,
        }
    }

    /// Tells the worker that nobody will accept from its socket after it.
    pub(crate) fn set_last(&self) {
        self.last.store(1, Release);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Acquire) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_writes_is_seen_by_the_master() {
        let (board, memory) = Scoreboard::create().unwrap();
        let seen = Scoreboard::open(memory).unwrap();
        assert_eq!(seen.row(ROWS - 1).state(), State::Booting);
        seen.row(ROWS - 1).set(State::Ready);
        assert_eq!(board.row(ROWS - 1).state(), State::Ready);
        board.set_stopping();
        assert!(seen.stopping());
    }

    #[test]
    fn the_scoreboard_of_another_build_is_refused() {
        let (board, memory) = Scoreboard::create().unwrap();
        board.layout().header.version.store(VERSION + 1, Release);
        let error = Scoreboard::open(memory).err().unwrap().to_string();
        assert!(error.contains("another build"), "{error}");
    }
}
