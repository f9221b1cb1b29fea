//! What systemd hears of the service.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

/// Variables by which systemd speaks to the process that it has started, and to
/// no process which that one starts.
pub(crate) const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
];

/// What the service manager hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Serving { workers: usize },
    Reloading,
    Stopping,
}

/// Tells the service manager how the service does, if there is one that listens.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    told: Phase,
    /// How often the service manager wants a sign of life, and when the next is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// Finds the service manager in the environment.
    pub(crate) fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| match open(&path) {
            Ok(opened) => Some(opened),
            Err(error) => {
                log::warn!("cannot notify systemd: NOTIFY_SOCKET is {path:?}: {error}");
                None
            }
        });
        // Half of the time is what sd_watchdog_enabled(3) advises.
        let watchdog = sd_notify::watchdog_enabled().filter(|_| socket.is_some());
        let watchdog = watchdog.map(|time| (time / 2, Instant::now()));
        Self {
            socket,
            told: Phase::Starting,
            watchdog,
        }
    }

    /// What was told last.
    pub(crate) fn told(&self) -> Phase {
        self.told
    }

    /// Tells what the master is about.
    pub(crate) fn tell(&mut self, phase: Phase) {
        self.told = phase;
        match phase {
            Phase::Starting => {}
            Phase::Serving { workers } => self.send(&[
                NotifyState::Ready,
                NotifyState::MainPid(process::id()),
                NotifyState::Status(&format!("serving, workers: {workers}")),
            ]),
            // Without the time, systemd takes the reload for one that never ends.
            Phase::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => self.send(&[
                    NotifyState::Reloading,
                    now,
                    NotifyState::Status("replacing workers one by one"),
                ]),
                Err(error) => log::warn!("cannot report the reload to systemd: {error}"),
            },
            Phase::Stopping => self.send(&[
                NotifyState::Stopping,
                NotifyState::Status("waiting for open connections"),
            ]),
        }
    }

    /// Gives a sign of life if one is due.
    pub(crate) fn beat(&mut self, now: Instant) {
        if let Some((every, due)) = self.watchdog
            && due <= now
        {
            self.send(&[NotifyState::Watchdog]);
            self.watchdog = Some((every, now + every));
        }
    }

    /// When the next sign of life is due.
    pub(crate) fn next_beat(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some((socket, manager)) = &self.socket else {
            return;
        };
        let mut message = String::new();
        for state in states {
            // Writing to a string cannot fail.
            let _ = writeln!(message, "{state}");
        }
        if let Err(error) = socket.send_to_addr(message.as_bytes(), manager) {
            log::warn!("cannot send {message:?} to systemd (NOTIFY_SOCKET): {error}");
        }
    }
}

/// The crate's own `notify` knows no abstract sockets, and may block.
fn open(path: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
