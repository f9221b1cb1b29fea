//! Exemplars: shown whole or not at all, whatever happens to their processes and their disk.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use nix::sys::ptrace;
use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{Directory, MultiProcessCollector, SpanIds, Store};
use serde_json::json;

use crate::{
    crash::{restore, steps},
    faults::{Filler, on_a_small_disk},
    support::{
        Peer, Temporary, answer, eventually, exemplar, openmetrics, prepare_again, python, scrape,
        value,
    },
};

fn span(byte: u8) -> SpanIds {
    SpanIds {
        trace_id: [byte; 16],
        span_id: [byte; 8],
    }
}

#[test]
fn the_newest_exemplar_of_all_processes_is_shown_in_openmetrics_alone() {
    let directory = Temporary::new();
    let mut workers = [(); 2].map(|()| Peer::worker(directory.path()));
    workers[0].tell("exemplar counter 2 17");
    workers[0].tell("observe_exemplar time 0.5 18");
    let text = openmetrics(directory.path());
    assert_eq!(exemplar(&text, "counter_total"), Some((2.0, 17)));
    assert_eq!(exemplar(&text, "time_bucket{le=\"1.0\"}"), Some((0.5, 18)));
    assert_eq!(exemplar(&text, "time_bucket{le=\"+Inf\"}"), None);
    for sample in ["time_sum", "time_count", "time_created", "counter_created"] {
        assert_eq!(exemplar(&text, sample), None);
    }
    // Longer than a tick of the clock that exemplars have.
    thread::sleep(std::time::Duration::from_millis(20));
    workers[1].tell("exemplar counter 3 19");
    workers[1].tell("observe_exemplar time 7 20");
    let text = openmetrics(directory.path());
    assert_eq!(exemplar(&text, "counter_total"), Some((3.0, 19)));
    assert_eq!(exemplar(&text, "time_bucket{le=\"1.0\"}"), Some((0.5, 18)));
    assert_eq!(exemplar(&text, "time_bucket{le=\"+Inf\"}"), Some((7.0, 20)));
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    for accept in ["text/plain;version=1.0.0", "text/plain;version=0.0.4"] {
        let text = answer(&collector, accept);
        assert!(!text.contains("trace_id"), "{text}");
        assert_eq!(value(&text, "counter_total"), 5.0);
    }
    let families = collector.collect();
    let time = families
        .iter()
        .find(|family| family.name == "time")
        .unwrap();
    let exemplars = time.series[0].exemplars.iter();
    let exemplars: Vec<_> = exemplars
        .map(|exemplar| (exemplar.value, exemplar.span))
        .collect();
    assert_eq!(exemplars, [(0.5, span(18)), (7.0, span(20))]);
}

#[test]
fn an_exemplar_outlives_its_process_and_the_next_one() {
    let directory = Temporary::new();
    for _ in 0..3 {
        let mut worker = Peer::worker(directory.path());
        worker.tell("exemplar counter 1 17");
        worker.tell("exemplar other 1 18");
        worker.kill();
    }
    let assert_shown = |counter: u8| {
        let text = openmetrics(directory.path());
        assert_eq!(exemplar(&text, "counter_total"), Some((1.0, counter)));
        assert_eq!(exemplar(&text, "other_total"), Some((1.0, 18)));
    };
    assert_shown(17);
    let mut successor = Peer::worker(directory.path());
    assert_eq!(successor.ask("identifier"), "worker-0");
    assert_shown(17);
    successor.tell("exemplar counter 1 19");
    assert_shown(19);
    successor.kill();
    assert_shown(19);
    let size = fs::metadata(directory.join("worker-0/exemplars"))
        .unwrap()
        .len();
    assert_eq!(size, 65_536);
}

#[test]
fn an_exemplar_goes_with_its_run() {
    let named = Temporary::new();
    let directory = Directory::prepare(Some(named.path())).unwrap();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 1 17");
    worker.kill();
    drop(directory);
    let _directory = prepare_again(named.path());
    let mut worker = Peer::worker(named.path());
    worker.tell("counter counter 1");
    assert_eq!(exemplar(&openmetrics(named.path()), "counter_total"), None);
}

#[test]
fn an_exemplar_is_never_shown_with_another_series() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar first 1 17");
    worker.kill();
    // The next process has another counter in the same place.
    fs::remove_file(directory.join("worker-0/counter.db")).unwrap();
    let mut worker = Peer::worker(directory.path());
    worker.tell("counter other 1");
    let text = openmetrics(directory.path());
    assert_eq!(exemplar(&text, "other_total"), None);
    worker.tell("counter first 1");
    assert_eq!(
        exemplar(&openmetrics(directory.path()), "first_total"),
        None
    );
    worker.tell("exemplar other 1 18");
    let text = openmetrics(directory.path());
    assert_eq!(exemplar(&text, "other_total"), Some((1.0, 18)));
}

#[test]
fn an_exemplar_stays_with_a_bucket_whose_bound_changes() {
    let directory = Temporary::new();
    let observe = |bounds: &[f64], value: f64, byte: u8| {
        let store = Store::open(directory.path()).unwrap();
        let opts = HistogramOpts::new("time", "Time").buckets(bounds.to_vec());
        let histogram = store.histogram(opts).unwrap();
        histogram.observe_with_exemplar(value, span(byte));
        store
    };
    let _old = observe(&[1.0, 2.0], 0.5, 17);
    let _new = observe(&[1.5, 4.0], 3.0, 18);
    eventually("the new declaration", || {
        let text = openmetrics(directory.path());
        !text.contains("le=\"1.0\"")
            && exemplar(&text, "time_bucket{le=\"1.5\"}") == Some((0.5, 17))
            && exemplar(&text, "time_bucket{le=\"4.0\"}") == Some((3.0, 18))
    });
}

/// Whether the exemplar that is shown is one that was written; `None` if none is shown.
fn exemplar_or_torn(text: &str) -> Option<bool> {
    let line = text
        .lines()
        .find(|line| line.starts_with("counter_total "))?;
    let (_, exemplar) = line.split_once(" # {trace_id=\"")?;
    let byte = u8::from_str_radix(&exemplar[..2], 16).unwrap();
    let hex = &exemplar[..2];
    let (trace, span) = (hex.repeat(16), hex.repeat(8));
    let value = f64::from(byte);
    Some(exemplar.starts_with(&format!("{trace}\",span_id=\"{span}\"}} {value:?} ")))
}

#[test]
fn a_torn_exemplar_is_never_shown() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counter = store.counter(Opts::new("counter", "")).unwrap();
    counter.inc_by_with_exemplar(7.0, span(7));
    let done = AtomicBool::new(false);
    let times: u64 = thread::scope(|scope| {
        let write = || {
            let mut times = 0;
            while !done.load(Relaxed) {
                let byte = (times % 255) as u8 + 1;
                counter.inc_by_with_exemplar(f64::from(byte), span(byte));
                times += 1;
            }
            times
        };
        let writers = [scope.spawn(write), scope.spawn(write)];
        let collector = MultiProcessCollector::new(directory.path()).unwrap();
        let mut shown = Vec::new();
        for _ in 0..2000 {
            let text = answer(&collector, "application/openmetrics-text");
            shown.extend(exemplar_or_torn(&text));
        }
        done.store(true, Relaxed);
        assert!(!shown.is_empty());
        assert!(shown.iter().all(|is_whole| *is_whole), "{shown:?}");
        writers.map(|writer| writer.join().unwrap()).iter().sum()
    });
    assert!(times > 0);
}

#[test]
fn a_process_killed_at_any_instruction_of_an_exemplar_leaves_the_old_one_the_new_one_or_none() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 1 17");
    let next = |pid| ptrace::step(pid, None);
    let command = "exemplar counter 2 18";
    let Some((snapshots, _)) = steps(directory.path(), worker, command, next) else {
        return;
    };
    assert!(snapshots.len() > 5, "{} states", snapshots.len());
    let mut seen = [0; 3];
    for (number, snapshot) in snapshots.iter().enumerate() {
        let copy = restore(snapshot);
        let text = openmetrics(copy.path());
        let found = exemplar(&text, "counter_total");
        let known = [Some((1.0, 17)), None, Some((2.0, 18))];
        let index = known.iter().position(|known| *known == found);
        seen[index.unwrap_or_else(|| panic!("state {number}: {found:?}"))] += 1;
        // The next process goes on, also where the killed one held the lock.
        let mut successor = Peer::worker(copy.path());
        successor.tell("exemplar counter 1 19");
        let text = openmetrics(copy.path());
        assert_eq!(
            exemplar(&text, "counter_total"),
            Some((1.0, 19)),
            "state {number}"
        );
    }
    assert!(seen.iter().all(|&states| states > 0), "{seen:?}");
}

#[test]
fn a_process_killed_at_any_system_call_of_its_first_exemplar_loses_no_count() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("counter counter 1");
    let next = |pid| ptrace::syscall(pid, None);
    let command = "exemplar counter 2 18";
    let Some((snapshots, _)) = steps(directory.path(), worker, command, next) else {
        return;
    };
    assert!(snapshots.len() > 2, "{} states", snapshots.len());
    for (number, snapshot) in snapshots.iter().enumerate() {
        let copy = restore(snapshot);
        let mut successor = Peer::worker(copy.path());
        successor.tell("exemplar counter 4 19");
        let text = openmetrics(copy.path());
        assert_eq!(
            exemplar(&text, "counter_total"),
            Some((4.0, 19)),
            "state {number}"
        );
        let total = value(&scrape(copy.path()), "counter_total");
        assert!([5.0, 7.0].contains(&total), "state {number}: {total}");
    }
}

#[test]
fn many_series_have_exemplars() {
    let directory = Temporary::new();
    let store = Store::open(directory.path())
        .unwrap()
        .with_series_limit(5000);
    let series = store
        .counter_vec(Opts::new("series", ""), &["value"])
        .unwrap();
    // The file grows twice.
    for number in 0..3000 {
        let byte = (number % 255) as u8 + 1;
        let series = series.with_label_values(&[number.to_string()]);
        series.clone().inc_by_with_exemplar(1.0, span(byte));
        series.inc_by_with_exemplar(f64::from(number), span(byte));
    }
    let text = openmetrics(directory.path());
    for number in 0..3000 {
        let sample = format!("series_total{{value=\"{number}\"}}");
        let byte = (number % 255) as u8 + 1;
        assert_eq!(exemplar(&text, &sample), Some((f64::from(number), byte)));
    }
    let size = fs::metadata(directory.join("worker-0/exemplars"))
        .unwrap()
        .len();
    assert_eq!(size, 4 * 65_536);
}

#[test]
fn a_full_disk_costs_exemplars_and_no_count() {
    on_a_small_disk(|disk| {
        let store = Store::open(disk).unwrap();
        let counter = store.counter(Opts::new("counter", "")).unwrap();
        let filler = Filler::fill(disk);
        for _ in 0..100 {
            counter.inc_by_with_exemplar(1.0, span(17));
        }
        let text = openmetrics(disk);
        assert_eq!(exemplar(&text, "counter_total"), None);
        assert_eq!(value(&scrape(disk), "counter_total"), 100.0);
        let written = crate::support::names(&disk.join("worker-0"));
        assert!(
            !written.iter().any(|name| name.contains("exemplars")),
            "{written:?}"
        );
        filler.remove();
        let mut times = 100.0;
        eventually("the exemplar", || {
            counter.inc_by_with_exemplar(1.0, span(18));
            times += 1.0;
            exemplar(&openmetrics(disk), "counter_total").is_some()
        });
        assert_eq!(value(&scrape(disk), "counter_total"), times);
    });
}

#[test]
fn exemplars_come_back_in_a_directory_that_was_removed() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 1 17");
    fs::remove_dir_all(directory.path()).unwrap();
    let mut times = 1.0;
    eventually("the exemplar", || {
        worker.tell("exemplar counter 1 18");
        times += 1.0;
        let text = openmetrics(directory.path());
        text.contains("counter_total") && exemplar(&text, "counter_total") == Some((1.0, 18))
    });
    assert_eq!(value(&scrape(directory.path()), "counter_total"), times);
}

#[test]
fn damaged_exemplars_are_left_out() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 1 17");
    worker.kill();
    let path = directory.join("worker-0/exemplars");
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 8, 63, 64, 100, 65_535] {
        fs::write(&path, &whole[..length]).unwrap();
        let text = openmetrics(directory.path());
        assert_eq!(value(&scrape(directory.path()), "counter_total"), 1.0);
        assert_eq!(exemplar(&text, "counter_total").is_some(), length >= 64);
    }
    for at in 0..64 {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        fs::write(&path, damaged).unwrap();
        let text = openmetrics(directory.path());
        // Other ids or another number may be shown; never another line.
        let lines = |text: &str| text.lines().count();
        assert_eq!(
            lines(&text),
            lines(&scrape(directory.path())) + 7,
            "{at}: {text}"
        );
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(
        exemplar(&openmetrics(directory.path()), "counter_total"),
        None
    );
    // A process counts on where no such file can be.
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 1 18");
    assert_eq!(value(&scrape(directory.path()), "counter_total"), 2.0);
}

#[test]
fn python_reads_a_directory_with_exemplars_as_before() {
    let Some(mut python) = python() else {
        return;
    };
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("exemplar counter 5 17");
    let text = python.ask(&json!({"do": "scrape", "directory": directory.path()}).to_string());
    let text: String = serde_json::from_str(&text).unwrap();
    assert_eq!(value(&text, "counter_total"), 5.0);
    let mut names = crate::support::names(directory.path());
    names.retain(|name| name.contains("exemplar"));
    assert_eq!(names, [""; 0]);
}
