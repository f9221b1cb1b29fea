//! A thread that does something again and again.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A thread that works at an interval, and when it is woken. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Periodic {
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    pid: u32,
}

impl Periodic {
    pub(crate) fn start(
        name: &str,
        interval: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<Periodic> {
        let (wake, woken) = mpsc::channel();
        let run = move || {
            while woken.recv_timeout(interval) != Err(RecvTimeoutError::Disconnected) {
                work();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned());
        Ok(Periodic {
            wake: Some(wake),
            thread: Some(thread.spawn(run)?),
            pid: std::process::id(),
        })
    }

    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // It fails only if the thread has panicked, which was printed then.
            let _ = wake.send(());
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        let (wake, thread) = (self.wake.take(), self.thread.take());
        if self.pid != std::process::id() {
            // A forked child has no such thread, and the channel may have been in use.
            std::mem::forget((wake, thread));
            return;
        }
        drop(wake);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
