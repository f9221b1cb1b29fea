//! What systemd passes to a service, and what it wants to hear of it.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        fd::{FromRawFd as _, IntoRawFd as _, OwnedFd},
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use socket2::{SockRef, Type};

use super::{Error, listener::Listener};

/// Variables by which systemd speaks to the process that it has started, and to
/// no process which that one starts.
pub(super) const VARIABLES: [&str; 6] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "MAINPID",
];

/// The listening socket that systemd passed to this process, if it passed one.
///
/// # Errors
///
/// [`Error::Activation`] if it passed several, or something else.
pub(super) fn passed_socket() -> Result<Option<Listener>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let failed = |why: String| Error::Activation { why };
    let mut passed = sd_notify::listen_fds().map_err(|error| failed(error.to_string()))?;
    let (count, first) = (passed.len(), passed.next());
    let Some(number) = first.filter(|_| !TAKEN.swap(true, Relaxed)) else {
        return Ok(None);
    };
    if count > 1 {
        return Err(failed(format!(
            "it passed {count}, and this program serves on one: leave one Listen...= in the \
             .socket unit, or start the service once for each"
        )));
    }
    // SAFETY: systemd has put the descriptor there for this very process, as
    // LISTEN_PID says, `listen_fds` has found it open, nothing else in the program
    // knows of it, and `TAKEN` makes sure that it is taken once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let listener = check(&descriptor)
        .and_then(|()| Listener::try_from(descriptor.try_clone()?))
        .map_err(|error| failed(error.to_string()))?;
    // Its number stays taken: it is one of those that a worker gets descriptors at.
    let _ = descriptor.into_raw_fd();
    Ok(Some(listener))
}

fn check(descriptor: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(descriptor);
    if socket.r#type()? == Type::STREAM && socket.is_listener()? {
        return Ok(());
    }
    Err(io::Error::other(
        "it passed something else than a listening stream socket: \
         use ListenStream= and Accept=no in the .socket unit",
    ))
}

/// What the service manager hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Serving { workers: usize },
    Reloading,
    Stopping,
}

/// Tells the service manager how the service does, if there is one that listens.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    told: Phase,
    /// How often the service manager wants a sign of life, and when the next is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// Finds the service manager in the environment.
    pub(super) fn from_env() -> Self {
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
    pub(super) fn told(&self) -> Phase {
        self.told
    }

    /// Tells what the master is about.
    pub(super) fn tell(&mut self, phase: Phase) {
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
                    NotifyState::Status("replacing the workers one by one"),
                ]),
                Err(error) => log::warn!("cannot tell systemd of the reload: {error}"),
            },
            Phase::Stopping => self.send(&[
                NotifyState::Stopping,
                NotifyState::Status("open connections finish"),
            ]),
        }
    }

    /// Gives a sign of life if one is due.
    pub(super) fn beat(&mut self, now: Instant) {
        if let Some((every, due)) = self.watchdog
            && due <= now
        {
            self.send(&[NotifyState::Watchdog]);
            self.watchdog = Some((every, now + every));
        }
    }

    /// When the next sign of life is due.
    pub(super) fn next_beat(&self) -> Option<Instant> {
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
            log::warn!("cannot notify systemd of {message:?}: NOTIFY_SOCKET: {error}");
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
