//! A thread that cleans up after workers that have ended.

use std::{io, sync::Arc, time::Duration};

use crate::{Directory, periodic::Periodic};

/// How often it looks for links that another program removed.
const INTERVAL: Duration = Duration::from_secs(2);

/// A thread that calls [`Directory::sweep`] every two seconds and on [`Sweeper::wake`].
///
/// Readers that only look at the files need it, such as the `/metrics` of a Flask
/// application in the same directory. It is a thread so that a slow disk does not block
/// the master. An error is logged once, until another follows.
#[derive(Debug)]
pub struct Sweeper(Periodic);

impl Sweeper {
    /// Starts the thread, which ends when the sweeper is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses the thread.
    pub fn start(directory: Arc<Directory>) -> io::Result<Self> {
        let mut last = None;
        let sweep = move || {
            let failure = directory.sweep().err().map(|error| error.to_string());
            if let Some(failure) = failure.as_ref().filter(|_| failure != last) {
                log::warn!("{failure}");
            }
            last = failure;
        };
        Periodic::start("sweeper", INTERVAL, sweep).map(Self)
    }

    /// Sweeps now, for example because a worker has ended.
    pub fn wake(&self) {
        self.0.wake();
    }
}
