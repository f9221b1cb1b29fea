//! The socket that systemd passes to a service.

use std::{
    io,
    os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use socket2::{SockRef, Type};

use crate::{Error, listener::Listener};

/// The listening socket that systemd passed to this process, if it passed one.
///
/// # Errors
///
/// [`Error::Activation`] if it passed several, or something else.
pub(crate) fn passed_socket() -> Result<Option<Listener>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let failed = |why: String| Error::Activation { why };
    let mut passed = sd_notify::listen_fds().map_err(|error| failed(error.to_string()))?;
    let (count, first) = (passed.len(), passed.next());
    let Some(number) = first.filter(|_| !TAKEN.swap(true, Relaxed)) else {
        return Ok(None);
    };
    if count > 1 {
        return Err(failed(format!(
            "{count} sockets passed, expected one; leave one Listen...= line in the .socket \
             unit, or start one service for each socket"
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
        "not a listening stream socket; use ListenStream= and Accept=no in the .socket unit",
    ))
}
