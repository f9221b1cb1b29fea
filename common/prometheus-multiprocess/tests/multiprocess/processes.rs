//! Several processes in one directory.

use std::{collections::BTreeSet, fs, io::BufRead};

use prometheus_multiprocess::{Directory, MultiProcessCollector};

use crate::support::{Peer, Random, Temporary, eventually, files, names, scrape, value};

#[test]
fn processes_take_the_lowest_free_identifier_and_go_on_from_its_counters() {
    let directory = Temporary::new();
    let mut workers: Vec<Peer> = (0..4).map(|_| Peer::worker(directory.path())).collect();
    let identifiers: BTreeSet<String> = workers
        .iter_mut()
        .map(|worker| worker.ask("identifier"))
        .collect();
    assert_eq!(
        identifiers.into_iter().collect::<Vec<_>>(),
        ["worker-0", "worker-1", "worker-2", "worker-3"]
    );
    for worker in &mut workers {
        worker.tell("counter counter 1");
        worker.tell("gauge level livesum 10");
        worker.tell("gauge last sum 100");
    }
    let killed = workers.remove(1);
    killed.kill();
    let text = scrape(directory.path());
    assert_eq!(value(&text, "counter_total"), 4.0);
    assert_eq!(value(&text, "level"), 30.0);
    // A newer process has this gauge, too.
    assert_eq!(value(&text, "last"), 300.0);

    let mut successor = Peer::worker(directory.path());
    assert_eq!(successor.ask("identifier"), "worker-1");
    successor.tell("counter counter 1");
    successor.tell("gauge level livesum 5");
    let text = scrape(directory.path());
    assert_eq!(value(&text, "counter_total"), 5.0);
    assert_eq!(value(&text, "level"), 35.0);
    assert_eq!(value(&text, "last"), 400.0);
}

#[test]
fn processes_that_start_at_once_share_no_identifier() {
    let directory = Temporary::new();
    let mut workers: Vec<Peer> = (0..16)
        .map(|_| Peer::start(&mut Peer::worker_command(directory.path())))
        .collect();
    for worker in &mut workers {
        worker.send("identifier");
    }
    let identifiers: BTreeSet<String> = workers.iter_mut().map(Peer::answer).collect();
    let expected: BTreeSet<String> = (0..16).map(|number| format!("worker-{number}")).collect();
    assert_eq!(identifiers, expected);
}

#[test]
fn what_was_counted_before_a_kill_is_there_after_it() {
    let directory = Temporary::new();
    let mut random = Random::new(7);
    let mut certain = 0.0;
    let mut in_flight = 0.0;
    for _ in 0..20 {
        let mut worker = Peer::worker(directory.path());
        worker.send("forever counter");
        let acknowledged = 1 + random.below(500);
        for _ in 1..acknowledged {
            worker.answer();
        }
        let last: f64 = worker.answer().parse().unwrap();
        worker.child.kill().unwrap();
        worker.child.wait().unwrap();
        // What it wrote before it died is still in the pipe.
        let mut rest = String::new();
        let mut printed = last;
        while worker.answers.read_line(&mut rest).unwrap() > 0 {
            if let Some(complete) = rest.strip_suffix('\n') {
                printed = complete.parse().unwrap();
            }
            rest.clear();
        }
        certain += printed;
        in_flight += 1.0;
        let total = value(&scrape(directory.path()), "counter_total");
        // The worker may have counted many that were still in its buffer.
        assert!(total >= certain, "{total} of {certain}");
        certain = total;
    }
    assert!(certain >= in_flight);
    assert_eq!(
        names(directory.path())
            .iter()
            .filter(|name| name.ends_with(".db"))
            .count(),
        1
    );
}

#[test]
fn a_thousand_deaths_leave_as_many_files_as_one() {
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let files = || {
        let sizes = files(parent.path()).into_iter().map(|name| {
            let size = fs::metadata(parent.join(&name)).unwrap().len();
            (name.clone(), if name.ends_with("lock") { 0 } else { size })
        });
        sizes.collect::<Vec<_>>()
    };
    let mut first = None;
    for round in 1..=250_u32 {
        let mut workers: Vec<Peer> = (0..4).map(|_| Peer::worker(parent.path())).collect();
        for worker in &mut workers {
            worker.tell("counter counter 1");
            worker.tell("series by_value x");
            worker.tell("gauge level livesum 1");
            worker.tell("observe duration 0.1");
        }
        for worker in workers {
            worker.kill();
        }
        directory.sweep().unwrap();
        let files = files();
        assert_eq!(
            first.get_or_insert_with(|| files.clone()),
            &files,
            "round {round}"
        );
    }
    let text = scrape(parent.path());
    for sample in [
        "counter_total",
        "by_value_total{value=\"x\"}",
        "duration_count",
    ] {
        assert_eq!(value(&text, sample), 1000.0, "{sample}");
    }
    assert_eq!(value(&text, "level"), 0.0);
}

#[test]
fn many_processes_count_exactly_while_others_scrape() {
    let directory = Temporary::new();
    let mut workers: Vec<Peer> = (0..4).map(|_| Peer::worker(directory.path())).collect();
    for worker in &mut workers {
        worker.send("load load 3 2000");
    }
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let mut before = 0.0;
    eventually("the load", || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        let now = value(&text, "load_total");
        assert!(now >= before, "the sum went from {before} to {now}");
        before = now;
        now == 24_000.0
    });
    for worker in &mut workers {
        assert_eq!(worker.answer(), "ok");
    }
    let text = scrape(directory.path());
    assert_eq!(value(&text, "load_total"), 24_000.0);
    for number in 0..100 {
        assert_eq!(
            value(&text, &format!("load_by_value_total{{value=\"{number}\"}}")),
            240.0
        );
    }
}

#[test]
fn a_forked_child_cannot_add_to_its_parents_files() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    let refused = worker.ask("fork new");
    assert!(
        refused.contains("was forked from") && refused.contains("worker-0"),
        "{refused}"
    );
    assert_eq!(worker.answer(), "ok");
    let text = scrape(directory.path());
    assert_eq!(
        value(&text, "forked_total"),
        1.0,
        "an inherited handle counts for the parent"
    );
    assert!(!text.contains("new_total"), "{text}");
}

#[test]
fn the_processes_that_hold_an_identifier_are_known_by_their_pids() {
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let worker = Peer::worker(parent.path());
    let collector = MultiProcessCollector::new(parent.path()).unwrap();
    let master = ("master".to_owned(), std::process::id());
    let first = ("worker-0".to_owned(), worker.pid());
    assert_eq!(collector.processes(), [master.clone(), first]);
    worker.kill();
    assert_eq!(collector.processes(), [master]);
    drop(directory);
    // A process that another test starts holds the lock until it executes its program.
    eventually("the lock of the master", || {
        collector.processes().is_empty()
    });
}
