//! stderr that never blocks the service.
//!
//! A write to a pipe that is not read waits for ever once the pipe is full, and with
//! it the request or the master that logs. So one thread writes, behind a bounded
//! queue. Lines that do not fit are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Lines that wait at most.
const LINES: usize = 8_192;

/// Bytes that wait at most.
const BYTES: usize = 1024 * 1024;

/// How long the last lines are waited for at the end of the process.
const PATIENCE: Duration = Duration::from_millis(500);

static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::start);

thread_local! {
    /// Dropped when its thread ends, which for the main thread is the end of `main`.
    static LAST_LINES: LastLines = const { LastLines };
}

struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        flush();
    }
}

/// What the thread is sent.
enum Message {
    Line(Vec<u8>),
    /// Tells when every line before it was written.
    Flush(SyncSender<()>),
}

struct Queue {
    /// None if there is no thread: then lines are written at once.
    messages: Option<SyncSender<Message>>,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// Has the lines of this process written when this thread ends.
pub(crate) fn flush_at_the_end() {
    LAST_LINES.with(|_| ());
}

/// Waits until the lines so far are written, for half a second at most.
pub(crate) fn flush() {
    let Some(messages) = &QUEUE.messages else {
        return;
    };
    let deadline = Instant::now() + PATIENCE;
    let (written, is_written) = sync_channel(1);
    let mut message = Message::Flush(written);
    while let Err(TrySendError::Full(again)) = messages.try_send(message) {
        if Instant::now() >= deadline {
            return;
        }
        message = again;
        thread::sleep(Duration::from_millis(5));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let _ = is_written.recv_timeout(left);
}

/// stderr, for one whole line at each write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn start() -> Self {
        let (messages, received) = sync_channel(LINES);
        let thread = thread::Builder::new().name("console".to_owned());
        let spawn = || thread.spawn(move || write_all(&received, &mut io::stderr()));
        let started = without_signals(spawn);
        Self {
            messages: started.is_ok().then_some(messages),
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn push(&self, line: &[u8]) {
        let Some(messages) = &self.messages else {
            let _ = io::stderr().write_all(line);
            return;
        };
        let fits = self.waiting.fetch_add(line.len(), Relaxed) + line.len() <= BYTES;
        if !fits || messages.try_send(Message::Line(line.to_vec())).is_err() {
            self.waiting.fetch_sub(line.len(), Relaxed);
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Starts a thread that no signal is delivered to. A program that waits for signals
/// blocks them in its own threads, later than this one may start, and a signal that
/// another thread gets would end the process.
fn without_signals<T>(spawn: impl FnOnce() -> T) -> T {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, SigmaskHow};

        let Ok(before) = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK) else {
            return spawn();
        };
        let spawned = spawn();
        let _ = before.thread_set_mask();
        spawned
    }
    #[cfg(not(unix))]
    spawn()
}

/// Writes what it receives. A line is one write, so that those of several processes
/// do not mix. An error means that nobody reads any more, and costs the line.
fn write_all(messages: &Receiver<Message>, out: &mut impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let _ = out.write_all(&line);
                QUEUE.waiting.fetch_sub(line.len(), Relaxed);
                report_dropped(out);
            }
            Message::Flush(written) => {
                report_dropped(out);
                let _ = written.try_send(());
            }
        }
    }
}

fn report_dropped(out: &mut impl Write) {
    let dropped = QUEUE.dropped.swap(0, Relaxed);
    if dropped > 0 {
        let line = format!("{dropped} log lines were dropped, since stderr was not read\n");
        let _ = out.write_all(line.as_bytes());
    }
}
