//! Clears up after workers that have ended, for readers that look at files alone,
//! such as a Flask application's `/metrics`.

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

/// How often files are put back that another program removed.
const INTERVAL: Duration = Duration::from_secs(2);

/// A thread that clears up after workers that have ended, every two seconds and
/// whenever it is told to.
///
/// It is a thread of its own so that a slow disk does not hold up the master. Readers
/// of Python, such as a Flask application's `/metrics`, need it: they look at files alone.
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
    /// If the system has no thread left.
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

    /// Has the thread clear up now.
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
