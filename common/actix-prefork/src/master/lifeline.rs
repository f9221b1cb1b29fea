//! A worker does not outlive its master, however the master ends.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    thread,
    time::Duration,
};

use nix::sys::{prctl, signal::Signal};

/// What a worker gets to flush its telemetry when its master is gone.
const LAST_FLUSH: Duration = Duration::from_millis(200);

/// Watches the read end of a pipe of which only the master holds the write end.
///
/// At its end `orphaned` is called, and a moment later the process ends. That
/// happens on a thread of its own, so that it does not depend on a runtime which
/// may be blocked. To be called from the main thread.
pub(crate) fn watch(lifeline: OwnedFd, orphaned: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name("lifeline".to_owned())
        .spawn(move || {
            wait_for_end(File::from(lifeline));
            orphaned();
            thread::sleep(LAST_FLUSH);
            // SAFETY: _exit(2) has no preconditions. Unlike `process::exit` it
            // takes no lock that a stuck thread may hold.
            unsafe { libc::_exit(1) }
        })?;
    // Instead of the signal that ends a booting worker: one that does nothing
    // but wake a stopped process, so that its lifeline can act.
    prctl::set_pdeathsig(Signal::SIGCONT)?;
    Ok(())
}

fn wait_for_end(mut lifeline: File) {
    loop {
        match lifeline.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
