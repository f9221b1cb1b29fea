//! Starting a worker process, and what it inherits from the master.
//!
//! The program executes itself again, which takes a few milliseconds and, unlike
//! a fork, is sound whatever threads there are. Descriptors are passed by
//! systemd's protocol: from 3 on, their number in `LISTEN_FDS`, their names in
//! `LISTEN_FDNAMES`. Three variables tell the new process that it is a worker, and where.

use std::{
    env,
    fs::File,
    io, iter,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal},
    },
    unistd::{Pid, getpid, getppid},
};

use super::{
    binary::Binary,
    hooks::Environment,
    notify,
    scoreboard::{OTHER_BUILD, ROWS},
};
use crate::{
    MAX_WORKERS, bound::MAX_ADDRESSES, listener::Listener, stop::HELD, worker::program_name,
};

/// The number of the first descriptor that is passed, as in sd_listen_fds(3).
const FIRST: RawFd = 3;
/// Their names; what follows are listening sockets.
const NAMES: [&str; 3] = ["scoreboard", "lifeline", "wake"];
const LISTENER: &str = "http";

/// The slot of the worker.
const SLOT: &str = "WORKER_SLOT";
/// The row of the scoreboard that it writes to.
const ROW: &str = "WORKER_ROW";
/// The pid of the master, so that a program which a worker starts, and which gets
/// the same variables, does not take itself for a worker.
const MASTER: &str = "WORKER_MASTER_PID";

/// Signals that gunicorn's users send to the process group, and those of a terminal: in a
/// worker they mean nothing, and must neither end nor stop it.
const IGNORED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGPIPE,
];

/// The descriptors that every worker gets, as the master sees them.
pub(crate) struct Passed<'a> {
    pub(crate) http: &'a [BorrowedFd<'a>],
    pub(crate) scoreboard: BorrowedFd<'a>,
    pub(crate) lifeline: BorrowedFd<'a>,
    pub(crate) wake: BorrowedFd<'a>,
}

/// Where a worker belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) slot: u16,
    /// The row of the scoreboard that it writes to.
    pub(crate) row: u16,
}

/// What a worker finds.
pub(crate) struct Inherited {
    pub(crate) place: Place,
    pub(crate) http: Arc<[Listener]>,
    pub(crate) scoreboard: OwnedFd,
    pub(crate) lifeline: OwnedFd,
    pub(crate) wake: OwnedFd,
}

/// Keeps the numbers that the worker's descriptors get occupied in the master,
/// so that nothing which a starting child needs is ever overwritten.
pub(crate) struct ReservedNumbers(#[expect(dead_code, reason = "held open")] Vec<File>);

impl ReservedNumbers {
    pub(crate) fn take() -> io::Result<Self> {
        let mut held = Vec::new();
        loop {
            let file = File::open("/dev/null")?;
            let last = file.as_raw_fd();
            held.push(file);
            if last >= FIRST + (NAMES.len() + MAX_ADDRESSES) as RawFd {
                return Ok(Self(held));
            }
        }
    }
}

/// Starts a worker with the arguments of this process.
///
/// To be called from the main thread: the parent-death signal is sent when
/// the thread ends that started the child.
pub(crate) fn start(
    binary: &Binary,
    place: Place,
    passed: &Passed<'_>,
    environment: &Environment,
) -> io::Result<Pid> {
    let arguments: Vec<_> = env::args_os().collect();
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.descriptor()));
    if let [name, rest @ ..] = arguments.as_slice() {
        command.arg0(name).args(rest);
    }
    let named = [passed.scoreboard, passed.lifeline, passed.wake];
    let sources = named.iter().chain(passed.http).map(AsRawFd::as_raw_fd);
    let sources: Vec<_> = sources.collect();
    let names = NAMES.into_iter().chain(iter::repeat(LISTENER));
    let names: Vec<_> = names.take(sources.len()).collect();
    command
        .envs(environment)
        .env("LISTEN_FDS", sources.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env(SLOT, place.slot.to_string())
        .env(ROW, place.row.to_string())
        .env(MASTER, getpid().to_string());
    for variable in notify::VARIABLES {
        command.env_remove(variable);
    }
    let master = getpid();
    // SAFETY: Between fork and exec only async-signal-safe functions may be
    // called, and nothing may be allocated. `prepare` calls sigemptyset,
    // sigaddset, pthread_sigmask, signal, prctl, getppid and dup2, and makes
    // errors from numbers.
    unsafe { command.pre_exec(move || prepare(master, &sources)) };
    let child = command.spawn()?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Runs in the child just before the program is executed.
fn prepare(master: Pid, sources: &[RawFd]) -> io::Result<()> {
    for ignored in IGNORED {
        // SAFETY: No handler is installed that could run.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    // Instead of the mask of the master: what tells a worker to stop waits until the
    // worker can heed it.
    HELD.into_iter().collect::<SigSet>().thread_set_mask()?;
    // Covers the time until the worker watches its lifeline.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != master {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    for (number, source) in (FIRST..).zip(sources) {
        // SAFETY: dup2(2) takes any numbers. The target is one that the master
        // keeps reserved, so that nobody in this process uses it.
        if unsafe { libc::dup2(*source, number) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Lets the ignored signals do nothing by a handler: unlike the disposition, that is not
/// passed on to programs which the worker starts.
pub(crate) fn handle_ignored_signals() -> nix::Result<()> {
    extern "C" fn do_nothing(_: libc::c_int) {}
    let handler = SigHandler::Handler(do_nothing);
    let nothing = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    for ignored in IGNORED {
        // SAFETY: The handler does nothing, which is async-signal-safe.
        let before = unsafe { sigaction(ignored, &nothing) }?;
        // The standard library ignores SIGPIPE, and takes care of it itself.
        let was_ignored = matches!(before.handler(), SigHandler::SigIgn);
        if !was_ignored || ignored == Signal::SIGPIPE {
            // SAFETY: It was installed before.
            unsafe { sigaction(ignored, &before) }?;
        }
    }
    Ok(())
}

/// Returns what the master passed if this process is a worker.
pub(crate) fn take() -> Option<io::Result<Inherited>> {
    let slot = env::var(SLOT).ok()?.parse().ok()?;
    let master = env::var(MASTER).ok()?.parse().ok()?;
    if Pid::from_raw(master) != getppid() {
        return None;
    }
    Some(place(slot).and_then(|place| {
        let mut taken = take_descriptors()?.into_iter();
        let mut next = || taken.next().ok_or_else(|| io::Error::other(OTHER_BUILD));
        let (scoreboard, lifeline, wake) = (next()?, next()?, next()?);
        Ok(Inherited {
            place,
            http: taken.map(Listener::try_from).collect::<Result<_, _>>()?,
            scoreboard,
            lifeline,
            wake,
        })
    }))
}

fn place(slot: u16) -> io::Result<Place> {
    let row = env::var(ROW).ok().and_then(|row| row.parse().ok());
    match row {
        Some(row) if row < ROWS && slot < MAX_WORKERS => Ok(Place { slot, row }),
        _ => Err(io::Error::other(OTHER_BUILD)),
    }
}

fn take_descriptors() -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Relaxed) {
        return Err(io::Error::other("a worker process can run only one master"));
    }
    let count = env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse().ok());
    let allowed = NAMES.len() + 1..=NAMES.len() + MAX_ADDRESSES;
    let Some(count) = count.filter(|count| allowed.contains(count)) else {
        return Err(io::Error::other(OTHER_BUILD));
    };
    // In `ps` and for `pkill` a worker has the program's name, not the number of
    // the descriptor that it was executed from.
    let name = std::ffi::CString::new(program_name()).unwrap_or_default();
    prctl::set_name(&name)?;
    let take = |number| {
        // SAFETY: The master put these descriptors there before it executed this
        // program, nothing else in the program knows of them, and `TAKEN` makes
        // sure that they are taken once. A descriptor that is not open makes the
        // call below fail, and is forgotten with the process.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // A program that the worker starts must not hold the sockets open.
        fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(descriptor)
    };
    (FIRST..).take(count).map(take).collect()
}
