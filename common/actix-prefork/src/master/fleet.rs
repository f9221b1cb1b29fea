//! The processes of all workers, and the memory that they share with the master.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    io, mem,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    process::ExitStatus,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::{Pid, pipe2},
};

use super::{
    binary::Binary,
    hooks::Environment,
    inherit::{self, Passed, Place, ReservedNumbers},
    policy::Report,
    reason::SpawnReason,
    scoreboard::{Row, Scoreboard},
    snapshot::Snapshots,
    usage,
};
use crate::{Error, Options, clock::monotonic, error::Context as _, stop::Stop};

/// The processes of all workers, by their rows of the scoreboard.
pub(crate) struct Fleet<'a> {
    options: &'a Options,
    /// Children that were not reaped, so that their pids are still theirs.
    pids: BTreeMap<u16, Pid>,
    pub(crate) board: Scoreboard,
    /// Variables that the workers get besides those of the master.
    pub(crate) environment: Environment,
    scoreboard: OwnedFd,
    /// The read end of a pipe of which only the master holds the write end.
    lifeline: OwnedFd,
    _held: OwnedFd,
    _reserved: ReservedNumbers,
}

impl<'a> Fleet<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Self, Error> {
        let reserved = ReservedNumbers::take().context("open /dev/null")?;
        let (board, scoreboard) = Scoreboard::create().context("create the scoreboard")?;
        let (lifeline, held) = pipe2(OFlag::O_CLOEXEC).context("create the lifeline")?;
        Ok(Self {
            options,
            pids: BTreeMap::new(),
            board,
            environment: Environment::new(),
            scoreboard,
            lifeline,
            _held: held,
            _reserved: reserved,
        })
    }

    /// What a program may see of it.
    pub(crate) fn snapshots(&self) -> Result<Snapshots, Error> {
        let memory = self.scoreboard.try_clone();
        let board = memory.and_then(Scoreboard::open);
        Ok(Snapshots::new(board.context("open the scoreboard")?))
    }

    /// Starts a worker, and returns its pid.
    pub(crate) fn start(
        &mut self,
        place: Place,
        reason: SpawnReason,
        binary: &Binary,
        http: &[BorrowedFd<'_>],
        wake: BorrowedFd<'_>,
    ) -> io::Result<u32> {
        let row = self.board.row(place.row);
        row.reset(place.slot);
        let passed = Passed {
            http,
            scoreboard: self.scoreboard.as_fd(),
            lifeline: self.lifeline.as_fd(),
            wake,
        };
        let pid = inherit::start(binary, place, &passed, &self.environment)?;
        let number = pid.as_raw().cast_unsigned();
        row.set_pid(number);
        self.board.tally(place.slot).count_spawn(reason);
        self.pids.insert(place.row, pid);
        Ok(number)
    }

    /// After how many requests a worker that is started now is replaced.
    pub(crate) fn draw_limit(&self) -> Option<u64> {
        // Seeded by the system for each thread, and different each time.
        let random = RandomState::new().hash_one(());
        let jitter = random % (u64::from(self.options.max_requests_jitter) + 1);
        match self.options.max_requests {
            0 => None,
            requests => Some(u64::from(requests) + jitter),
        }
    }

    /// What a worker says of itself.
    pub(crate) fn report(&self, number: u16) -> Report {
        let row = self.board.row(number);
        let silent = monotonic().saturating_sub(row.activity.last_beat());
        let limit = self.options.timeout;
        Report {
            state: row.state(),
            asked: row.asked(),
            silent,
            requests: row.activity.requests(),
            connections: row.activity.connections(),
            full: row.activity.is_full(),
            debugged: !limit.is_zero() && silent >= limit && self.is_debugged(number),
        }
    }

    /// Whether a debugger holds a worker, as somebody does who looks for the reason why
    /// it hangs. [proc_pid_status(5)] has the tracer.
    ///
    /// [proc_pid_status(5)]: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    fn is_debugged(&self, row: u16) -> bool {
        let path = self.pids.get(&row).map(|pid| format!("/proc/{pid}/status"));
        let status = path.and_then(|path| std::fs::read_to_string(path).ok());
        let status = status.unwrap_or_default();
        let mut lines = status.lines();
        let tracer = lines.find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    }

    /// Tells a worker how to stop. The signal only wakes it up: it looks at its row.
    pub(crate) fn tell(&self, row: u16, stop: Stop) {
        if self.pids.contains_key(&row) {
            self.board.row(row).tell(stop);
            self.send(row, Signal::SIGTERM);
        }
    }

    pub(crate) fn send(&self, row: u16, signal: Signal) {
        if let Some(pid) = self.pids.get(&row) {
            // It is a child that was not reaped, so this fails for no other process.
            let _ = kill(*pid, signal);
        }
    }

    /// Collects every child that has ended, and returns the rows of those that were
    /// workers: process 1 has strangers, too.
    pub(crate) fn reap(&mut self) -> Vec<(u16, ExitStatus)> {
        let mut all = Vec::new();
        while let Some(pid) = ended() {
            let row = self.pids.iter().find(|(_, child)| child.as_raw() == pid);
            let row = row.map(|(row, _)| *row);
            if let Some(row) = row {
                let ticks = usage::cpu_ticks(pid.cast_unsigned());
                self.board.row(row).set_cpu(ticks);
            }
            let mut status = 0;
            // nix knows no real-time signals, and would lose a child that one has killed.
            // SAFETY: waitpid(2) writes to `status`, which lives for as long.
            if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } != pid {
                break;
            }
            if let Some(row) = row {
                self.pids.remove(&row);
                all.push((row, ExitStatus::from_raw(status)));
            }
        }
        all
    }

    /// Adds what an ended worker has counted to its slot, and frees its row. Returns how
    /// many connections were open.
    pub(crate) fn take_over(
        &self,
        number: u16,
        slot: u16,
        status: ExitStatus,
        drained: Option<Duration>,
    ) -> u32 {
        let row = self.board.row(number);
        let cut = cut(row);
        let tally = self.board.tally(slot);
        tally.take_over(row, status, cut);
        if let Some(time) = drained {
            tally.record_drain(time);
        }
        cut
    }
}

/// The pid of a child that has ended. It stays a zombie, of which the kernel tells more than
/// that it has ended.
fn ended() -> Option<libc::pid_t> {
    loop {
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: All zeros are a valid `siginfo_t`. waitid(2) writes to it, or leaves the pid
        // 0 where no child has ended.
        let (failed, pid) = unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let failed = libc::waitid(libc::P_ALL, 0, &raw mut info, flags) != 0;
            (failed, info.si_pid())
        };
        match failed {
            false => return (pid != 0).then_some(pid),
            true if Errno::last() == Errno::EINTR => {}
            true => return None,
        }
    }
}

/// Connections that a worker has cut. One that finished has written it down; another one
/// had no time.
pub(crate) fn cut(row: &Row) -> u32 {
    row.activity.cut().max(row.activity.connections())
}

/// Whether an error may pass: processes, descriptors or memory were refused.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(
        code,
        Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
    )
}
