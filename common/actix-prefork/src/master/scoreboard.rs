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
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use memmap2::{MmapOptions, MmapRaw};
use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

use super::tally::Tally;
use crate::{MAX_WORKERS, activity::Activity, stop::Stop};

/// Changes with the layout, so that a worker of another build notices.
const VERSION: u32 = 5;

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
    master: AtomicU32,
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
    /// How it has to stop, by the word of the master, a [`Stop`].
    told: AtomicU32,
    /// Whether it got a `SIGTERM` without having been told.
    asked: AtomicU32,
    slot: AtomicU32,
    /// 0 where there is no process: the row is free.
    pid: AtomicU32,
    /// The CPU time of a process that has ended, in clock ticks, by the word of the master.
    cpu: AtomicU64,
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

impl Scoreboard {
    /// Creates shared memory, and returns the descriptor that opens it elsewhere.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create("scoreboard", flags)?);
        file.set_len(mem::size_of::<Layout>() as u64)?;
        // Whoever reads a mapping beyond the end of its file is killed.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let board = Self::map(&file)?;
        let header = &board.layout().header;
        header.master.store(std::process::id(), Release);
        header.version.store(VERSION, Release);
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
        // which is a multiple of 128, and lives as long as `self`. A seal keeps the
        // file behind it from being shortened (memfd_create(2)). `Layout` consists
        // of atomic integers, so that any bytes are a value and other processes may
        // write at any time.
        unsafe { &*self.memory.as_ptr().cast::<Layout>() }
    }

    /// The process id of the master.
    pub(crate) fn master(&self) -> u32 {
        self.layout().header.master.load(Acquire)
    }

    /// A row, by its number below [`ROWS`].
    pub(crate) fn row(&self, row: u16) -> &Row {
        &self.layout().rows[usize::from(row)]
    }

    /// What the master counts for `slot`, which is below [`MAX_WORKERS`].
    pub(crate) fn tally(&self, slot: u16) -> &Tally {
        &self.layout().tallies[usize::from(slot)]
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
    pub(crate) fn reset(&self, slot: u16) {
        self.activity.reset();
        self.slot.store(slot.into(), Relaxed);
        self.told.store(Stop::Not as u32, Relaxed);
        self.asked.store(0, Relaxed);
        self.set_cpu(0);
        self.set(State::Booting);
    }

    /// Gives the row to a process, or back, with 0.
    pub(crate) fn set_pid(&self, pid: u32) {
        // Whoever sees the pid sees what the row held when the process got it.
        self.pid.store(pid, Release);
    }

    /// Keeps the CPU time of a process that has ended, which the kernel is about to forget.
    pub(crate) fn set_cpu(&self, ticks: u64) {
        self.cpu.store(ticks, Release);
    }

    pub(crate) fn cpu(&self) -> u64 {
        self.cpu.load(Acquire)
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot.load(Relaxed) as u16
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Acquire)
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

    /// Says how the worker has to stop. A signal wakes it up afterwards.
    pub(crate) fn tell(&self, stop: Stop) {
        self.told.store(stop as u32, Release);
    }

    pub(crate) fn told(&self) -> Stop {
        const ALL: [Stop; 4] = [Stop::Not, Stop::Worker, Stop::Slot, Stop::Server];
        let told = self.told.load(Acquire) as usize;
        ALL.get(told).copied().unwrap_or(Stop::Quick)
    }

    /// Asks the master for a replacement.
    pub(crate) fn ask(&self) {
        self.asked.store(1, Release);
    }

    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Acquire) != 0
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
        for stop in [
            Stop::Not,
            Stop::Worker,
            Stop::Slot,
            Stop::Server,
            Stop::Quick,
        ] {
            board.row(0).tell(stop);
            assert_eq!(seen.row(0).told(), stop);
        }
    }

    #[test]
    fn the_memory_cannot_be_shortened_under_its_readers() {
        let (_board, memory) = Scoreboard::create().unwrap();
        assert!(File::from(memory).set_len(0).is_err());
    }

    #[test]
    fn the_scoreboard_of_another_build_is_refused() {
        let (board, memory) = Scoreboard::create().unwrap();
        board.layout().header.version.store(VERSION + 1, Release);
        let error = Scoreboard::open(memory).err().unwrap().to_string();
        assert!(error.contains("another build"), "{error}");
    }
}
