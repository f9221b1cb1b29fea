//! A process that is stopped at each system call of taking an identifier, of going on with files, and
//! of its repair thread: what is in the directory then is what `kill -9` there would leave.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nix::{sys::ptrace, unistd::Pid};
use prometheus::Opts;
use prometheus_multiprocess::Store;
use serde_json::json;

use crate::{
    crash::{attach, has_answered, step},
    support::{Peer, Temporary, eventually, files, python, samples, scrape, value},
};

/// All files of a directory and their bytes.
type Tree = BTreeMap<String, Vec<u8>>;

fn tree(directory: &Path) -> Tree {
    // A file may go between the two calls only if another thread removes it.
    let read = |name: String| Some((name.clone(), fs::read(directory.join(name)).ok()?));
    files(directory).into_iter().filter_map(read).collect()
}

fn restore(tree: &Tree) -> Temporary {
    let copy = Temporary::new();
    for (name, bytes) in tree {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    copy
}

/// The states of a directory that differ, while a thread goes from one system call to the next.
fn states(directory: &Path, thread: Pid, mut is_done: impl FnMut() -> bool) -> Vec<Tree> {
    let mut states = vec![tree(directory)];
    while !is_done() {
        step(thread, |pid| ptrace::syscall(pid, None));
        let now = tree(directory);
        if states.last() != Some(&now) {
            states.push(now);
        }
    }
    ptrace::detach(thread, None).unwrap();
    states
}

/// The states of `directory` while a process opens it.
fn states_of_opening(directory: &Path) -> Option<Vec<Tree>> {
    let elsewhere = Temporary::new();
    let mut worker = Peer::worker(elsewhere.path());
    let thread = attach(worker.pid() as i32)?;
    worker.send(&format!("open {}", directory.display()));
    let states = states(directory, thread, || has_answered(&worker));
    assert_eq!(worker.answer(), "ok");
    Some(states)
}

/// Checks that both readers accept what a killed process left, and that a successor goes on from
/// what `counter_total` was, which has to be one of `expected`.
fn check(states: &[Tree], expected: &[f64]) {
    let mut python = python();
    for (number, state) in states.iter().enumerate() {
        let copy = restore(state);
        let text = scrape(copy.path());
        let before = value(&text, "counter_total");
        assert!(expected.contains(&before), "state {number}:\n{text}");
        assert!(!text.contains("bad_files"), "state {number}:\n{text}");
        assert!(!text.contains("\nlevel "), "state {number}:\n{text}");
        if let Some(python) = &mut python {
            let theirs = python.ask(&json!({"do": "scrape", "directory": copy.path()}).to_string());
            samples(&serde_json::from_str::<String>(&theirs).unwrap());
        }
        let store = Store::open(copy.path()).unwrap();
        assert_eq!(store.identifier().as_deref(), Some("worker-0"));
        store
            .counter(Opts::new("counter", "A metric"))
            .unwrap()
            .inc();
        let text = scrape(copy.path());
        assert_eq!(
            value(&text, "counter_total"),
            before + 1.0,
            "state {number}:\n{text}"
        );
        assert!(!text.contains("bad_files"), "state {number}:\n{text}");
    }
}

#[test]
fn a_process_killed_at_any_system_call_of_its_start_leaves_a_directory_that_others_can_use() {
    let directory = Temporary::new();
    let Some(states) = states_of_opening(directory.path()) else {
        return;
    };
    assert!(states.len() > 5, "{} states", states.len());
    check(&states, &[0.0]);
}

#[test]
fn a_process_killed_at_any_system_call_of_going_on_with_files_loses_nothing() {
    let directory = Temporary::new();
    let mut predecessor = Peer::worker(directory.path());
    predecessor.tell("counter counter 100");
    predecessor.tell("gauge level livesum 1");
    predecessor.kill();
    let Some(states) = states_of_opening(directory.path()) else {
        return;
    };
    assert!(states.len() > 2, "{} states", states.len());
    check(&states, &[100.0]);
}

#[test]
fn a_process_killed_at_any_system_call_of_its_repair_thread_leaves_the_old_or_the_new_file() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("counter counter 1");
    let path = directory.join("worker-0/counter.db");
    fs::copy(&path, directory.join("backup")).unwrap();
    worker.tell("counter counter 10");
    let Some(thread) = attach(thread_named(worker.pid(), "metrics")) else {
        return;
    };
    // A backup that is put back.
    fs::rename(directory.join("backup"), &path).unwrap();
    let mut is_restored = false;
    let states = states(directory.path(), thread, || {
        // The link for Python is renewed last.
        let done = is_restored;
        is_restored = value(&scrape(directory.path()), "counter_total") == 11.0
            && fs::read(directory.join("counter_worker-0.db")).unwrap() == fs::read(&path).unwrap();
        done && is_restored
    });
    assert!(states.len() > 4, "{} states", states.len());
    check(&states, &[1.0, 11.0]);
    worker.tell("counter counter 100");
    assert_eq!(value(&scrape(directory.path()), "counter_total"), 111.0);
}

/// A thread names itself after it was started.
fn thread_named(pid: u32, name: &str) -> i32 {
    let mut found = None;
    eventually(name, || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let is_it = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap().trim() == name;
        found = tasks.find(is_it);
        found.is_some()
    });
    let number = found.as_ref().and_then(|task| task.file_name()?.to_str());
    number.unwrap().parse().unwrap()
}
