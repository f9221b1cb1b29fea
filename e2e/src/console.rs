//! The output of a program. Separate threads read it, so that the program never blocks on a full pipe.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Maximum number of lines kept per program. Later lines are discarded, and the last kept line says so.
const LINES: usize = 20_000;

/// Maximum length of a line in bytes. A longer line is split.
const LINE_BYTES: u64 = 8 * 1024;

/// The stream of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line that a program printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// The stream that it was printed to.
    pub stream: Stream,
    /// When it was read, soon after it was printed.
    pub at: Instant,
    /// The text without its line feed. Invalid UTF-8 is replaced.
    pub text: String,
}

/// Everything that a program and its children have printed, in the order of arrival. Clones share the same lines.
#[derive(Clone, Default)]
pub struct Console {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    grown: Condvar,
    /// Number of streams that are still open.
    open: AtomicUsize,
}

impl Console {
    /// Every line so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lock().clone()
    }

    /// Number of lines so far that satisfy `wanted`.
    pub fn count(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.lock().iter().filter(|line| wanted(&line.text)).count()
    }

    /// The lines of one stream so far.
    pub fn text(&self, stream: Stream) -> String {
        let lines = self.lock();
        let texts = lines.iter().filter(|line| line.stream == stream);
        texts.map(|line| line.text.clone() + "\n").collect()
    }

    /// Waits for the first line that satisfies `wanted`, including lines printed before the call.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such line after `within`. The error shows the printed lines.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        let mut lines = self.lock();
        let mut seen = 0;
        loop {
            if let Some(line) = lines[seen..].iter().find(|line| wanted(&line.text)) {
                return Ok(line.text.clone());
            }
            seen = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                bail!("waited {within:?} for a line that was not printed\n{self}");
            }
            let waited = self.shared.grown.wait_timeout(lines, left);
            (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether all streams are closed, which means that the last process that could print has exited.
    pub fn is_complete(&self) -> bool {
        self.shared.open.load(Ordering::SeqCst) == 0
    }

    /// Starts a thread that reads `source` to its end.
    pub(crate) fn follow(&self, stream: Stream, source: impl Read + Send + 'static) {
        let console = self.clone();
        console.shared.open.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            // Zero bytes mean the end, and so does an error of a pipe.
            while source
                .by_ref()
                .take(LINE_BYTES)
                .read_until(b'\n', &mut bytes)
                .is_ok_and(|count| count > 0)
            {
                let text = String::from_utf8_lossy(&bytes);
                console.push(Line {
                    stream,
                    at: Instant::now(),
                    text: text.trim_end_matches(['\r', '\n']).to_owned(),
                });
                bytes.clear();
            }
            console.shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn push(&self, mut line: Line) {
        let mut lines = self.lock();
        if lines.len() < LINES {
            if lines.len() + 1 == LINES {
                line.text = format!("(a test keeps {LINES} lines, and this was the last)");
            }
            lines.push(line);
            self.shared.grown.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Line>> {
        // A poisoned lock only means that `wanted` panicked in another thread. The lines are consistent.
        self.shared
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// All lines, for the message of a failed test. Lines of standard error are marked with `!`.
impl fmt::Display for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "it printed (`!` is standard error):")?;
        for line in self.lock().iter() {
            let mark = match line.stream {
                Stream::Out => ' ',
                Stream::Err => '!',
            };
            writeln!(formatter, "  {mark} {}", line.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::SOON;

    #[test]
    fn a_line_is_found_whether_it_comes_early_or_late() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let console = Console::default();
        console.follow(Stream::Err, reader);
        std::io::Write::write_all(&mut writer, b"one\r\ntwo").unwrap();
        console.wait_for_line(|line| line == "one", SOON).unwrap();
        drop(writer);
        console.wait_for_line(|line| line == "two", SOON).unwrap();
        assert_eq!(console.text(Stream::Err), "one\ntwo\n");
        assert_eq!(console.text(Stream::Out), "");
    }

    #[test]
    fn the_error_shows_what_was_printed_instead() {
        let console = Console::default();
        console.push(Line {
            stream: Stream::Err,
            at: Instant::now(),
            text: "something else".to_owned(),
        });
        let error = console
            .wait_for_line(|_| false, Duration::ZERO)
            .unwrap_err();
        assert!(error.to_string().contains("! something else"), "{error}");
    }

    #[test]
    fn memory_is_bounded() {
        let console = Console::default();
        console.follow(Stream::Out, std::io::repeat(b'x').take(LINE_BYTES * 3));
        let is_long = |line: &str| line.len() as u64 == LINE_BYTES;
        crate::poll("three lines", SOON, || {
            (console.count(is_long) == 3).then_some(())
        })
        .unwrap();
    }
}
