//! What the master and its workers see of each other, in memory that they share.
//!
//! The master reads it whenever it likes, and what a worker wrote survives the
//! worker's death: no message can be lost or block anybody.

use std::{
    fs::File,
    io, mem,
    os::fd::{AsFd as _, OwnedFd},
    sync::atomic::{
        AtomicU32,
        Ordering::{Acquire, Release},
    },
};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{MAX_WORKERS, activity::Activity};

/// Changes with the layout, so that a worker of another build notices.
const VERSION: u32 = 1;

const ROWS: usize = MAX_WORKERS as usize;

/// The shared memory. All zeros is a valid state of it, and a worker may write
/// any bytes: every field is an atomic integer, and every integer is a value.
pub(super) struct Scoreboard {
    memory: MmapRaw,
}

/// Two cache lines, since processors fetch them in pairs: what one worker
/// writes must not slow down another.
#[repr(C, align(128))]
struct Header {
    version: AtomicU32,
    /// Whether the whole server stops, not one worker alone.
    stopping: AtomicU32,
}

/// What is known of one worker.
#[derive(Default)]
#[repr(C, align(128))]
pub(super) struct Row {
    pub(super) activity: Activity,
    state: AtomicU32,
}

#[repr(C)]
struct Layout {
    header: Header,
    rows: [Row; ROWS],
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(super) enum State {
    /// The process was started.
    Booting,
    /// It answers requests.
    Ready,
    /// It accepts no new connections.
    Draining,
    /// It ended with an error, which it has printed.
    Failed,
}

impl Scoreboard {
    /// Creates shared memory, and returns the descriptor that opens it elsewhere.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
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
    pub(super) fn open(memory: OwnedFd) -> io::Result<Self> {
        let other_build = || {
            let text = "the master runs another build of this program, whose scoreboard this one \
                        cannot read: stop the master and start it anew";
            io::Error::other(text)
        };
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

    /// The row of the worker in `slot`, which is below [`MAX_WORKERS`].
    pub(super) fn row(&self, slot: u16) -> &Row {
        &self.layout().rows[usize::from(slot)]
    }

    /// Tells the workers that the whole server stops.
    pub(super) fn set_stopping(&self) {
        self.layout().header.stopping.store(1, Release);
    }

    pub(super) fn stopping(&self) -> bool {
        self.layout().header.stopping.load(Acquire) != 0
    }
}

impl Row {
    /// Makes the row ready for a new process.
    pub(super) fn reset(&self) {
        self.activity.reset();
        self.set(State::Booting);
    }

    pub(super) fn set(&self, state: State) {
        self.state.store(state as u32, Release);
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Acquire) {
            0 => State::Booting,
            1 => State::Ready,
            2 => State::Draining,
            _ => State::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_writes_is_seen_by_the_master() {
        let (board, memory) = Scoreboard::create().unwrap();
        let seen = Scoreboard::open(memory).unwrap();
        assert_eq!(seen.row(255).state(), State::Booting);
        seen.row(255).set(State::Ready);
        assert_eq!(board.row(255).state(), State::Ready);
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
