//! The sockets that systemd passes to a service.

use std::{
    io,
    os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use socket2::{SockRef, Type};

use crate::{Error, listener::Listener};

/// The listening sockets that systemd passed to this process, which may be none.
///
/// # Errors
///
/// [`Error::Activation`] if it passed something else.
pub(crate) fn passed_sockets() -> Result<Vec<Listener>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let failed = |error: io::Error| Error::Activation {
        why: error.to_string(),
    };
    let passed = sd_notify::listen_fds().map_err(failed)?;
    if passed.len() == 0 || TAKEN.swap(true, Relaxed) {
        return Ok(Vec::new());
    }
    let take = |number| {
        // SAFETY: systemd has put the descriptor there for this very process, as
        // LISTEN_PID says, `listen_fds` has found it open, nothing else in the program
        // knows of it, and `TAKEN` makes sure that it is taken once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        check(&descriptor)?;
        let listener = descriptor.try_clone()?.try_into();
        // Its number stays taken: it is one of those that a worker gets descriptors at.
        let _ = descriptor.into_raw_fd();
        listener
    };
    passed.map(take).collect::<Result<_, _>>().map_err(failed)
}

fn check(descriptor: &OwnedFd) -> io::Result<()> {
    let socket = SockRef::from(descriptor);
    if socket.r#type()? == Type::STREAM && socket.is_listener()? {
        return Ok(());
    }
    Err(io::Error::other(
        "not a listening stream socket; use ListenStream= and Accept=no in the .socket unit",
    ))
}
