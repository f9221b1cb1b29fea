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
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{Error, error::Context as _};

/// The signals that mean something to a master.
const SIGNALS: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
];

/// How late a deadline may be noticed on a busy machine.
const LATE: Duration = Duration::from_secs(1);

pub(crate) struct Events {
    signals: SignalFd,
    wake: EventFd,
    /// Whether there is a terminal that the program is to end with.
    minds_terminal: bool,
}

/// What happened while the master waited.
pub(crate) struct Happened {
    pub(crate) signals: Vec<Signal>,
    /// Whether the master was not run for a while, as when it is stopped or the
    /// machine is suspended: others were not run either then.
    pub(crate) overslept: bool,
}

impl Events {
    /// Blocks the signals that mean something to a master, and reads them instead.
    pub(crate) fn listen() -> Result<Self, Error> {
        let signals: SigSet = SIGNALS.into_iter().collect();
        signals.thread_block().context("block signals")?;
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
            signals: self.read_signals(),
            overslept: due.is_some_and(|due| due.elapsed() > LATE),
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
