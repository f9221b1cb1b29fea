//! What wakes the master up: signals, news from workers, and deadlines.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        eventfd::{EfdFlags, EventFd},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{Error, error::Context as _};

/// The signals that mean something to a master, and those of which gunicorn's users
/// think so: their default action would end it.
const SIGNALS: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCHLD,
];

/// Signals of which a parent's disposition matters, since exec(2) keeps an ignored one:
/// the end of a child would go unnoticed, and a stalled worker could not be aborted.
const DEFAULTS: [Signal; 2] = [Signal::SIGCHLD, Signal::SIGABRT];

pub(crate) struct Events {
    signals: SignalFd,
    wake: EventFd,
    /// Whether there is a terminal that the program is to end with.
    minds_terminal: bool,
}

/// What happened while the master waited.
pub(crate) struct Happened {
    pub(crate) signals: Vec<Signal>,
    /// How much later than its deadline the master was run, as when it is stopped or
    /// the machine is busy: others were not run either then.
    pub(crate) late: Duration,
}

/// Keeps signals from having their default action until they are read, whatever mask and
/// dispositions this process has inherited.
pub(crate) fn hold_signals() -> nix::Result<()> {
    let signals: SigSet = SIGNALS.into_iter().collect();
    signals.thread_set_mask()?;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in DEFAULTS {
        // SAFETY: The default disposition runs no code of this process.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(())
}

impl Events {
    /// Reads the signals that are held.
    pub(crate) fn listen() -> Result<Self, Error> {
        let signals: SigSet = SIGNALS.into_iter().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).context("listen to signals")?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            signals,
            wake: EventFd::from_flags(flags).context("create an eventfd")?,
            minds_terminal: has_terminal() && !ignores_hangup(),
        })
    }

    /// What a worker writes to when it has news.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Waits for a signal, for news or for the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Happened {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, or it would wake up just too early.
            let left = left + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut descriptors = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        let began = Instant::now();
        if let Err(error) = poll(&mut descriptors, timeout)
            && error != Errno::EINTR
        {
            log::error!("cannot wait for events: {error}");
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.wake.read();
        let due = deadline.map(|deadline| deadline.max(began));
        Happened {
            late: due.map_or(Duration::ZERO, |due| due.elapsed()),
            signals: self.read_signals(),
        }
    }

    fn read_signals(&self) -> Vec<Signal> {
        let mut signals = Vec::new();
        while let Ok(Some(info)) = self.signals.read_signal() {
            signals.extend(match Signal::try_from(info.ssi_signo.cast_signed()) {
                // What the terminal sends when it goes away is no wish to reload.
                Ok(Signal::SIGHUP) if self.minds_terminal && !has_terminal() => {
                    Some(Signal::SIGTERM)
                }
                signal => signal.ok(),
            });
        }
        signals
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the program was started to outlive its terminal, as by nohup(1).
fn ignores_hangup() -> bool {
    // The lowest bit of the mask is that of signal 1 (proc_pid_status(5)).
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 != 0)
}
