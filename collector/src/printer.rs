//! Writes on its own thread, so that the collector keeps receiving while the output blocks (a
//! terminal stopped with Ctrl-S, a pipe that nobody reads).

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// Maximum number of queued bytes. Further blocks are counted and not printed.
const QUEUE_LIMIT: usize = 16 * 1024 * 1024;

/// How long an export waits for room in the queue before its block is skipped.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long [`Printer::finish`] waits for a blocked output.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Printer {
    blocks: Mutex<Option<Sender<String>>>,
    done: Mutex<Receiver<()>>,
    queue: Arc<Queue>,
    stalled: AtomicBool,
    skipped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    bytes: AtomicUsize,
    shrunk: Notify,
}

impl Printer {
    pub(crate) fn start(output: Box<dyn Write + Send>) -> io::Result<Self> {
        let (blocks, queued) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let queue = Arc::new(Queue::default());
        let shared = Arc::clone(&queue);
        thread::Builder::new()
            .name("collector-print".to_owned())
            .spawn(move || {
                write_all(output, &queued, &shared);
                // Fails only if `finish` has already timed out.
                let _ = finished.send(());
            })?;
        Ok(Self {
            blocks: Mutex::new(Some(blocks)),
            done: Mutex::new(done),
            queue,
            stalled: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
        })
    }

    /// Waits until the queue has room for another block, at most for [`PATIENCE`].
    pub(crate) async fn room(&self) {
        if !self.is_full() {
            self.stalled.store(false, Ordering::Relaxed);
        } else if !self.stalled.load(Ordering::Relaxed) {
            let shrunk = async {
                loop {
                    let notified = self.queue.shrunk.notified();
                    if !self.is_full() {
                        return;
                    }
                    notified.await;
                }
            };
            if timeout(PATIENCE, shrunk).await.is_err() {
                self.stalled.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Queues a block, or counts it as skipped if the queue is full.
    pub(crate) fn print(&self, block: String) {
        if block.is_empty() {
            return;
        }
        if self.is_full() {
            if self.skipped.fetch_add(1, Ordering::Relaxed) == 0 {
                log::warn!("the output is blocked, new telemetry is counted but not printed");
            }
            return;
        }
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        if skipped > 0 {
            log::warn!("the output works again, {skipped} export requests were not printed");
        }
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blocks) = &*blocks {
            self.queue.bytes.fetch_add(block.len(), Ordering::Relaxed);
            // The thread reads until the sender is gone, so this cannot fail.
            let _ = blocks.send(block);
        }
    }

    /// Waits until everything is written, at most for [`LAST_PATIENCE`].
    pub(crate) fn finish(&self) {
        let blocks = self
            .blocks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if blocks.is_none() {
            return;
        }
        drop(blocks);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.recv_timeout(LAST_PATIENCE).is_err() {
            log::warn!("the output is blocked, the last export requests were not printed");
        }
    }

    fn is_full(&self) -> bool {
        self.queue.bytes.load(Ordering::Relaxed) >= QUEUE_LIMIT
    }
}

fn write_all(mut output: Box<dyn Write + Send>, queued: &Receiver<String>, queue: &Queue) {
    let mut broken = false;
    for block in queued {
        if !broken
            && let Err(err) = output
                .write_all(block.as_bytes())
                .and_then(|()| output.flush())
        {
            broken = true;
            log::warn!("cannot write to the output: {err}; receiving continues without printing");
        }
        queue.bytes.fetch_sub(block.len(), Ordering::Relaxed);
        queue.shrunk.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Blocks until the other end of the channel is dropped.
    struct StandsStill(Receiver<()>);

    impl Write for StandsStill {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_output_has_a_bounded_queue_and_continues_later() {
        let (resume, stopped) = mpsc::channel();
        let printer = Printer::start(Box::new(StandsStill(stopped))).expect("a thread");
        for _ in 0..10 {
            printer.print("x".repeat(QUEUE_LIMIT / 2));
        }
        assert_eq!(printer.queue.bytes.load(Ordering::Relaxed), QUEUE_LIMIT);
        assert_eq!(printer.skipped.load(Ordering::Relaxed), 8);
        drop(resume);
        let deadline = Instant::now() + Duration::from_secs(30);
        while printer.is_full() {
            assert!(Instant::now() < deadline, "the queue is written");
            thread::sleep(Duration::from_millis(5));
        }
        printer.print("y".to_owned());
        assert_eq!(printer.skipped.load(Ordering::Relaxed), 0);
        printer.finish();
        assert_eq!(printer.queue.bytes.load(Ordering::Relaxed), 0);
    }
}
