//! A thread that cleans up after workers that have ended.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Directory;

/// How often it looks for files that another program removed.
const INTERVAL: Duration = Duration::from_secs(2);

/// A thread that calls [`Directory::sweep`] every two seconds and on [`Sweeper::wake`].
///
/// Readers that only look at the files need it, such as the `/metrics` of a Flask
/// application in the same directory. It is a thread so that a slow disk does not block
/// the master. Errors are logged.
#[derive(Debug)]
pub struct Sweeper {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Starts the thread, which ends when the sweeper is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the operating system refuses the thread.
    pub fn start(directory: Arc<Directory>) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let sweep = move || {
            while woken.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Disconnected) {
                if let Err(error) = directory.sweep() {
                    log::warn!("{error}");
                }
            }
        };
        let thread = thread::Builder::new().name("sweeper".to_owned());
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread.spawn(sweep)?),
        })
    }

    /// Sweeps now, for example because a worker has ended.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            // It fails only if the thread has panicked, which was printed then.
            let _ = wake.send(());
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
