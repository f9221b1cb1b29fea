//! A writer that is stopped after each instruction of an append and of a growth, and at each system
//! call of a takeover: what it leaves in the directory is what `kill -9` there would leave.

use std::{collections::BTreeMap, fs, io::Read, os::fd::AsFd, path::Path};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        ptrace,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::Store;
use serde_json::json;

use crate::support::{Peer, Temporary, names, python, samples, scrape, skip, value};

/// What was in a directory at one instant: the metric files and their bytes.
pub(crate) type Snapshot = BTreeMap<String, Vec<u8>>;

#[test]
fn a_writer_killed_at_any_instruction_of_an_append_leaves_a_file_that_both_readers_accept() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("series series before");
    check_every_step(&directory, worker, "series series after", 0);
}

#[test]
fn a_writer_killed_at_any_instruction_of_a_growth_leaves_a_file_that_both_readers_accept() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("series series before");
    let size = || {
        fs::metadata(directory.join("worker-0/counter.db"))
            .unwrap()
            .len()
    };
    let used = || {
        let bytes = fs::read(directory.join("worker-0/counter.db")).unwrap();
        u64::from(u32::from_ne_bytes(bytes[..4].try_into().unwrap()))
    };
    let mut filler = 0;
    while used() + 200 < 65_536 {
        worker.tell(&format!("series series filler-{filler}"));
        filler += 1;
    }
    worker.tell(&format!(
        "series series {}",
        "x".repeat((65_536 - used() - 90) as usize)
    ));
    assert_eq!(size(), 65_536);
    check_every_step(&directory, worker, "series series after", filler + 1);
    assert_eq!(size(), 131_072);
}

#[test]
fn a_process_killed_at_any_instruction_of_creating_a_file_leaves_a_directory_that_both_readers_accept()
 {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("series series before");
    check_every_step(&directory, worker, "observe duration 0.5", 0);
}

#[test]
fn a_process_killed_at_any_system_call_of_taking_over_a_damaged_file_loses_no_sound_entry() {
    let directory = Temporary::new();
    let mut predecessor = Peer::worker(directory.path());
    for series in ["before", "damaged", "behind"] {
        predecessor.tell(&format!("series series {series}"));
    }
    predecessor.tell("gauge level livesum 1");
    predecessor.kill();
    let path = directory.join("worker-0/counter.db");
    let mut bytes = fs::read(&path).unwrap();
    let key = bytes.windows(7).position(|bytes| bytes == b"damaged");
    bytes[key.unwrap()..][..7].fill(0);
    fs::write(&path, bytes).unwrap();

    let elsewhere = Temporary::new();
    let worker = Peer::worker(elsewhere.path());
    let command = format!("open {}", directory.path().display());
    let next = |pid| ptrace::syscall(pid, None);
    let Some((snapshots, _)) = steps(directory.path(), worker, &command, next) else {
        return;
    };
    assert!(snapshots.len() > 4, "{} states", snapshots.len());
    let mut python = python();
    for (number, snapshot) in snapshots.iter().enumerate() {
        let copy = restore(snapshot);
        let check = |text: &str| {
            for series in ["before", "behind"] {
                let sample = format!("series_total{{value=\"{series}\"}}");
                assert_eq!(value(text, &sample), 1.0, "state {number}:\n{text}");
            }
        };
        let text = scrape(copy.path());
        check(&text);
        assert!(!text.contains("\nlevel "), "state {number}:\n{text}");
        let store = Store::open(copy.path()).unwrap();
        let text = scrape(copy.path());
        check(&text);
        assert!(!text.contains("bad_files"), "state {number}:\n{text}");
        if let Some(python) = &mut python {
            let theirs = python.ask(&json!({"do": "scrape", "directory": copy.path()}).to_string());
            check(&serde_json::from_str::<String>(&theirs).unwrap());
        }
        drop(store);
    }
}

/// Runs `command` step by step, and looks at all that the directory held in between.
fn check_every_step(directory: &Temporary, worker: Peer, command: &str, others: usize) {
    let next = |pid| ptrace::step(pid, None);
    let Some((snapshots, steps)) = steps(directory.path(), worker, command, next) else {
        return;
    };
    println!(
        "{command}: {steps} instructions, {} states of the directory",
        snapshots.len()
    );
    assert!(snapshots.len() > 3, "the writer was not seen at work");
    let mut python = python();
    let mut finished = Vec::new();
    for (number, snapshot) in snapshots.iter().enumerate() {
        let copy = restore(snapshot);
        let text = scrape(copy.path());
        assert!(
            !text.contains("multiprocess_bad_files"),
            "state {number}:\n{text}"
        );
        assert_eq!(
            value(&text, "series_total{value=\"before\"}"),
            1.0,
            "state {number}:\n{text}"
        );
        let series = text.matches("\nseries_total{").count();
        assert!(
            (others + 1..=others + 2).contains(&series),
            "state {number}: {series} series"
        );
        assert!(
            [0, 4].contains(&text.matches("\nduration_").count()),
            "state {number}:\n{text}"
        );
        if let Some(python) = &mut python {
            let theirs = python.ask(&json!({"do": "scrape", "directory": copy.path()}).to_string());
            let theirs: String = serde_json::from_str(&theirs).unwrap();
            assert_eq!(samples(&theirs), samples(&text), "state {number}");
        }
        finished.push(goes_on(copy.path()));
        assert!(
            finished[number] == finished[0],
            "state {number}:\n{}",
            scrape(copy.path())
        );
    }
}

/// A directory with the files of worker 0.
pub(crate) fn restore(snapshot: &Snapshot) -> Temporary {
    let copy = Temporary::new();
    fs::create_dir(copy.join("worker-0")).unwrap();
    for (name, bytes) in snapshot {
        fs::write(copy.join("worker-0").join(name), bytes).unwrap();
    }
    link_for_python(copy.path());
    copy
}

/// Gives the files of worker 0 the names by which Python finds them.
fn link_for_python(directory: &Path) {
    for name in names(&directory.join("worker-0")) {
        if let Some(kind) = name.strip_suffix(".db") {
            let link = directory.join(format!("{kind}_worker-0.db"));
            fs::hard_link(directory.join("worker-0").join(&name), link).unwrap();
        }
    }
}

/// The next process with the identifier goes on; the values are the same in the end.
fn goes_on(directory: &Path) -> BTreeMap<String, String> {
    let store = Store::open(directory).unwrap();
    assert_eq!(store.identifier().as_deref(), Some("worker-0"));
    let series = store
        .counter_vec(Opts::new("series", "A metric"), &["value"])
        .unwrap();
    for series in ["after", "last"].map(|value| series.with_label_values(&[value])) {
        series.inc_by(1.0 - series.get());
    }
    let opts = HistogramOpts::new("duration", "A histogram").buckets(vec![1.0]);
    let histogram = store.histogram(opts).unwrap();
    if histogram.get_sample_count() == 0 {
        histogram.observe(0.5);
    }
    let text = scrape(directory);
    let mut samples = samples(&text);
    // Between the two additions of an observation is an instant at which one is missing.
    samples.remove("duration_sum");
    samples
}

/// Lets the worker do `command` one step at a time, as `next` says. All states of the directory that
/// are different, and the number of steps.
pub(crate) fn steps(
    directory: &Path,
    mut worker: Peer,
    command: &str,
    next: impl Fn(Pid) -> nix::Result<()>,
) -> Option<(Vec<Snapshot>, usize)> {
    let pid = attach(worker.pid() as i32)?;
    let mut snapshots = vec![snapshot(directory)];
    worker.send(command);
    let mut steps = 0;
    while !has_answered(&worker) {
        step(pid, &next);
        steps += 1;
        if changed(directory, &snapshots[snapshots.len() - 1]) {
            snapshots.push(snapshot(directory));
        }
    }
    assert_eq!(worker.answer(), "ok");
    ptrace::detach(pid, None).unwrap();
    Some((snapshots, steps))
}

/// Stops a thread, if that is permitted.
pub(crate) fn attach(thread: i32) -> Option<Pid> {
    let pid = Pid::from_raw(thread);
    if let Err(errno) = ptrace::attach(pid) {
        skip(&format!(
            "stopping a process at each instruction needs ptrace, which is not permitted here: {errno}"
        ));
        return None;
    }
    let stopped = waitpid(pid, Some(WaitPidFlag::__WALL));
    assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))));
    Some(pid)
}

/// Lets a thread go on until it stops at the place that `next` says.
pub(crate) fn step(pid: Pid, next: impl Fn(Pid) -> nix::Result<()>) {
    next(pid).unwrap();
    let stopped = waitpid(pid, Some(WaitPidFlag::__WALL));
    assert!(
        matches!(stopped, Ok(WaitStatus::Stopped(..))),
        "the thread ended: {stopped:?}"
    );
}

pub(crate) fn has_answered(worker: &Peer) -> bool {
    let mut answers = [PollFd::new(
        worker.answers.get_ref().as_fd(),
        PollFlags::POLLIN,
    )];
    poll(&mut answers, PollTimeout::ZERO).unwrap() > 0
}

/// The files of worker 0, without its lock.
fn snapshot(directory: &Path) -> Snapshot {
    let home = directory.join("worker-0");
    let files = names(&home).into_iter().filter(|name| name != "lock");
    let read = |name: String| fs::read(home.join(&name)).map(|bytes| (name, bytes));
    files.map(|name| read(name).unwrap()).collect()
}

/// Whether a directory differs from its snapshot; asked after each instruction, so it must be fast.
fn changed(directory: &Path, snapshot: &Snapshot) -> bool {
    let home = directory.join("worker-0");
    let mut files = 0;
    for entry in fs::read_dir(&home).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "lock" {
            continue;
        }
        files += 1;
        match snapshot.get(&name) {
            Some(bytes) if is_same(&home.join(&name), bytes) => {}
            _ => return true,
        }
    }
    files != snapshot.len()
}

/// Whether a file has these bytes. Of what follows the entries, only as much is looked at
/// as an append could write.
fn is_same(path: &Path, bytes: &[u8]) -> bool {
    let file = fs::File::open(path).unwrap();
    let used = bytes
        .first_chunk()
        .map_or(0, |used| u32::from_ne_bytes(*used) as usize);
    let end = bytes.len().min(used + 8192);
    let mut now = Vec::with_capacity(end + 1);
    file.metadata().unwrap().len() == bytes.len() as u64
        && file.take(end as u64).read_to_end(&mut now).unwrap() == end
        && now == bytes[..end]
}
