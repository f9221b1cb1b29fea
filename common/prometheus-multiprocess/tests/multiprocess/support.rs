//! What several tests need.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use prometheus_exposition::Request;
use prometheus_multiprocess::{Directory, MultiProcessCollector};

/// A directory that goes with the test.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new() -> Temporary {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("store-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Temporary(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The text of a scrape by a collector that has seen nothing yet.
pub(crate) fn scrape(directory: &Path) -> String {
    let mut text = String::new();
    MultiProcessCollector::new(directory)
        .unwrap()
        .encode_text(&mut text)
        .unwrap();
    text
}

/// What a scraper gets that accepts this.
pub(crate) fn answer(collector: &MultiProcessCollector, accept: &str) -> String {
    let request = Request::new(Some(accept), None, None);
    let mut text = String::new();
    collector.encode_for(request.format, &mut text).unwrap();
    String::from_utf8(request.answer(text).body).unwrap()
}

/// The value and the first byte of the trace id of the exemplar of a sample.
pub(crate) fn exemplar(text: &str, sample: &str) -> Option<(f64, u8)> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    let line = line.unwrap_or_else(|| panic!("no {sample} in:\n{text}"));
    let (_, exemplar) = line.split_once(" # {trace_id=\"")?;
    let (ids, numbers) = exemplar.split_once("\"} ").unwrap();
    let (trace, span) = ids.split_once("\",span_id=\"").unwrap();
    let byte = &trace[..2];
    assert_eq!((trace, span), (&*byte.repeat(16), &*byte.repeat(8)));
    let (value, time) = numbers.split_once(' ').unwrap();
    let age =
        SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - time.parse::<f64>().unwrap();
    assert!((-1.0..600.0).contains(&age), "{age} s old");
    Some((
        value.parse().unwrap(),
        u8::from_str_radix(byte, 16).unwrap(),
    ))
}

/// What a scraper of OpenMetrics gets from a collector that has seen nothing yet.
pub(crate) fn openmetrics(directory: &Path) -> String {
    let collector = MultiProcessCollector::new(directory).unwrap();
    answer(&collector, "application/openmetrics-text")
}

/// The value of each sample of a text, by its name and labels as they stand there.
pub(crate) fn samples(text: &str) -> BTreeMap<String, String> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let twice = samples.insert(sample.to_owned(), value.to_owned());
        assert_eq!(twice, None, "{sample} is there twice:\n{text}");
    }
    samples
}

/// The value of one sample, or 0 if it is not there.
pub(crate) fn value(text: &str, sample: &str) -> f64 {
    samples(text)
        .get(sample)
        .map_or(0.0, |value| value.parse().unwrap())
}

/// The names of the files in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The files in a directory and below it, sorted.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(directory) {
        match directory.join(&name).is_dir() {
            true => {
                let below = files(&directory.join(&name));
                found.extend(below.into_iter().map(|file| format!("{name}/{file}")));
            }
            false => found.push(name),
        }
    }
    found
}

/// Prepares a directory as a master, after another one of this process. A process that another test
/// starts holds that one's lock until it executes its program.
pub(crate) fn prepare_again(path: &Path) -> Directory {
    let mut directory = None;
    eventually("the lock of the master", || {
        directory = Directory::prepare(Some(path)).ok();
        directory.is_some()
    });
    directory.unwrap()
}

/// Tries until `done`, or fails after a time that no machine needs.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within a minute"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says that a real part is missing: a message, or a failure where all parts have to be there.
pub(crate) fn skip(what: &str) {
    assert!(
        std::env::var_os("REQUIRE_REAL_PARTS").is_none_or(|value| value != "1"),
        "{what}"
    );
    eprintln!("skipped: {what}");
}

/// A process that reads commands and answers each with a line: `examples/store_worker.rs`, or
/// Python. It is killed at the end, if it still runs.
pub(crate) struct Peer {
    pub(crate) child: Child,
    commands: ChildStdin,
    pub(crate) answers: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(command: &mut Command) -> Peer {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Peer {
            child,
            commands,
            answers,
        }
    }

    /// A worker process of ours that has joined `directory`.
    pub(crate) fn worker(directory: &Path) -> Peer {
        Peer::example("store_worker", directory)
    }

    /// An example program that has joined `directory`.
    pub(crate) fn example(name: &str, directory: &Path) -> Peer {
        let mut worker = Peer::start(Command::new(example(name)).arg(directory));
        assert!(!worker.ask("identifier").is_empty());
        worker
    }

    pub(crate) fn worker_command(directory: &Path) -> Command {
        let mut command = Command::new(example("store_worker"));
        command.arg(directory);
        command
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(
            answer.ends_with('\n'),
            "the process ended in the middle of {answer:?}"
        );
        answer.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.answer()
    }

    pub(crate) fn tell(&mut self, command: &str) {
        assert_eq!(self.ask(command), "ok", "{command}");
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already; what matters is that it does not outlive the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of an example program, which cargo builds together with the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo build --examples --features multiprocess",
        path.display()
    );
    path
}

/// Python with its `prometheus_client`, or `None` with a message.
pub(crate) fn python() -> Option<Peer> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let check = Command::new(&python)
        .args(["-c", "import prometheus_client"])
        .stderr(Stdio::null())
        .status();
    if !check.is_ok_and(|status| status.success()) {
        skip(&format!(
            "{python} has no prometheus_client; pip install -r e2e/requirements.txt, or name another interpreter in PYTHON"
        ));
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multiprocess/peer.py");
    Some(Peer::start(Command::new(python).arg(script)))
}

/// A random number generator, so that a failure can be repeated by its seed (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
