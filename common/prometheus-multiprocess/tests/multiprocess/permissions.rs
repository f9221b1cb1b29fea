//! Files and directories that a process may not write or read, for a process that is not root:
//! it counts on, answers scrapes, and writes everything when it may.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use nix::unistd::geteuid;

use crate::support::{Peer, Temporary, eventually, scrape, value};

/// The user "nobody".
const NOBODY: u32 = 65_534;

/// What the processes of a test need: a program that anybody can run, and a directory.
struct Unprivileged {
    program: Temporary,
    directory: Temporary,
}

impl Unprivileged {
    fn new() -> Unprivileged {
        let (program, directory) = (Temporary::new(), Temporary::new());
        let example = Peer::worker_command(directory.path());
        fs::copy(example.get_program(), program.join("worker")).unwrap();
        allow(directory.path());
        Unprivileged { program, directory }
    }

    fn start(&self) -> Peer {
        let mut command = Command::new(self.program.join("worker"));
        command.arg(self.directory.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Peer::start(&mut command)
    }

    fn eventually_shows(&self, sample: &str, expected: f64) {
        eventually(sample, || {
            value(&scrape(self.directory.path()), sample) == expected
        });
    }
}

fn set(path: &Path, owner: u32, mode: u32) {
    if geteuid().is_root() {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Lets the processes read and write.
fn allow(path: &Path) {
    set(path, NOBODY, 0o700);
}

/// Lets the processes read only.
fn deny(path: &Path) {
    set(path, 0, 0o555);
}

/// Lets the processes do nothing.
fn hide(path: &Path) {
    set(path, 0, 0);
}

#[test]
fn a_process_that_may_not_write_at_its_start_counts_until_it_may() {
    let setting = Unprivileged::new();
    deny(setting.directory.path());
    let mut worker = setting.start();
    assert_eq!(worker.ask("identifier"), "");
    worker.tell("counter counter 5");
    worker.tell("observe duration 0.5");
    assert_eq!(worker.ask("scrape counter_total"), "5");
    allow(setting.directory.path());
    setting.eventually_shows("counter_total", 5.0);
    setting.eventually_shows("duration_count", 1.0);
    assert_eq!(worker.ask("identifier"), "worker-0");
}

#[test]
fn a_process_that_may_no_longer_write_grows_its_files_and_keeps_new_ones_in_memory() {
    let setting = Unprivileged::new();
    let mut worker = setting.start();
    worker.tell("counter counter 1");
    let home = setting.directory.join("worker-0");
    deny(&home);
    hide(&home.join("counter.db"));
    // Longer than a new file.
    for number in 0..1000 {
        worker.tell(&format!("series series {number}"));
    }
    worker.tell("observe duration 0.5");
    assert_eq!(worker.ask("scrape duration_count"), "1");
    allow(&home);
    allow(&home.join("counter.db"));
    setting.eventually_shows("duration_count", 1.0);
    let text = scrape(setting.directory.path());
    assert_eq!(value(&text, "counter_total"), 1.0);
    assert_eq!(text.matches("\nseries_total{").count(), 1000);
}

#[test]
fn a_successor_that_may_not_use_the_files_counts_until_it_may_and_loses_nothing() {
    let setting = Unprivileged::new();
    let mut predecessor = setting.start();
    predecessor.tell("counter counter 100");
    predecessor.kill();
    let home = setting.directory.join("worker-0");

    // The file is hidden.
    hide(&home.join("counter.db"));
    let mut worker = setting.start();
    worker.tell("counter counter 1");
    assert_eq!(worker.ask("scrape counter_total"), "1");
    allow(&home.join("counter.db"));
    setting.eventually_shows("counter_total", 101.0);
    worker.kill();

    // The whole directory of the predecessor is, so another identifier is free.
    hide(&home);
    let mut worker = setting.start();
    assert_eq!(worker.ask("identifier"), "worker-1");
    worker.tell("counter counter 10");
    assert_eq!(worker.ask("scrape counter_total"), "10");
    allow(&home);
    setting.eventually_shows("counter_total", 111.0);
}

#[test]
fn a_scrape_shows_what_it_could_read_and_names_the_rest() {
    let setting = Unprivileged::new();
    let mut workers = [0, 1, 2].map(|number| {
        let mut worker = setting.start();
        assert_eq!(worker.ask("identifier"), format!("worker-{number}"));
        worker.tell("counter counter 1");
        worker
    });
    let bad = |file: &str| {
        format!("scrape multiprocess_bad_files{{file=\"{file}\",reason=\"permission denied\"}}")
    };
    assert_eq!(workers[0].ask("scrape counter_total"), "3");
    hide(&setting.directory.join("worker-1/counter.db"));
    hide(&setting.directory.join("worker-2"));
    workers[1].tell("counter counter 1");
    workers[2].tell("counter counter 5");
    // What is mapped already is counted.
    assert_eq!(workers[0].ask("scrape counter_total"), "9");
    assert_eq!(workers[0].ask(&bad("worker-2")), "1");

    let mut late = setting.start();
    assert_eq!(late.ask("scrape counter_total"), "1");
    assert_eq!(late.ask(&bad("worker-1/counter.db")), "1");
    assert_eq!(late.ask(&bad("worker-2")), "1");
    allow(&setting.directory.join("worker-1/counter.db"));
    allow(&setting.directory.join("worker-2"));
    assert_eq!(late.ask("scrape counter_total"), "9");
}
