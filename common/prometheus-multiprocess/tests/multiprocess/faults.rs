//! Disks that are full or read-only, descriptors that run out, directories and files that vanish:
//! the process counts on, and everything is in the files when they can be written again.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use prometheus::Opts;
use prometheus_multiprocess::{Directory, GaugeMode, GaugeOpts, MultiProcessCollector, Store};

use crate::support::{Peer, Temporary, eventually, names, scrape, skip, value};

/// Bytes of a small disk.
const SMALL: usize = 1 << 20;
const NONE: Option<&str> = None;

/// Runs `test` in a thread with a small disk at the path of its argument. The mount is seen by this
/// thread and by the threads and processes that it starts, and goes with them.
pub(crate) fn on_a_small_disk(test: impl FnOnce(&Path) + Send + 'static) {
    let directory = Temporary::new();
    let path = directory.path().to_owned();
    let mounted = move || -> nix::Result<PathBuf> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        let size = format!("size={SMALL}");
        let flags = MsFlags::empty();
        mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some(&*size))?;
        Ok(path)
    };
    let thread = std::thread::spawn(move || match mounted() {
        Ok(path) => test(&path),
        Err(errno) => skip(&format!("a small disk needs a mount namespace: {errno}")),
    });
    thread.join().unwrap();
}

/// A file that leaves no space on the disk.
pub(crate) struct Filler(PathBuf);

impl Filler {
    pub(crate) fn fill(directory: &Path) -> Filler {
        let path = directory.join("filler");
        let mut file = File::create(&path).unwrap();
        let block = [1; 4096];
        // Bounded, so that a mistake fills no other disk.
        let is_full = (0..=SMALL / block.len()).any(|_| file.write_all(&block).is_err());
        assert!(is_full, "the disk is not small");
        Filler(path)
    }

    pub(crate) fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

fn opts(name: &str) -> Opts {
    Opts::new(name, "A metric")
}

fn own_scrape(store: &Store) -> String {
    let mut text = String::new();
    store.collector().unwrap().encode_text(&mut text).unwrap();
    text
}

fn in_memory(text: &str) -> f64 {
    value(text, "multiprocess_incidents_total{kind=\"in_memory\"}")
}

/// Waits until another process would see this sum.
fn eventually_shows(directory: &Path, sample: &str, expected: f64) {
    eventually(sample, || value(&scrape(directory), sample) == expected);
}

#[test]
fn series_that_do_not_fit_on_a_full_disk_are_counted_in_memory_until_they_do() {
    on_a_small_disk(|disk| {
        let store = Store::open(disk).unwrap().with_series_limit(100_000);
        let counters = store.counter_vec(opts("counters"), &["value"]).unwrap();
        let filler = Filler::fill(disk);
        let mut kept = Vec::new();
        for number in 0..2000 {
            kept.push(counters.with_label_values(&[number.to_string()]).clone());
        }
        let gauge = GaugeOpts::from(opts("gauge")).mode(GaugeMode::LiveSum);
        let gauge = store.gauge(gauge).unwrap();
        kept.iter().for_each(|counter| counter.inc());
        gauge.add(5.0);

        let others = scrape(disk);
        let stored = others.matches("\ncounters_total{").count();
        assert!((100..2000).contains(&stored), "{stored} are stored");
        assert_eq!(in_memory(&others), 1.0);
        assert!(!others.contains("\ngauge "), "{others}");
        let own = own_scrape(&store);
        assert_eq!(own.matches("\ncounters_total{").count(), 2000);
        assert_eq!(value(&own, "counters_total{value=\"1999\"}"), 1.0);
        assert_eq!(value(&own, "gauge"), 5.0);

        // Handles count on while their values move.
        filler.remove();
        let mut times = 1.0;
        eventually("the move into the files", || {
            kept.iter().for_each(|counter| counter.inc());
            gauge.inc();
            times += 1.0;
            scrape(disk).matches("\ncounters_total{").count() == 2000
        });
        eventually_shows(disk, "gauge", 4.0 + times);
        let text = scrape(disk);
        for number in 0..2000 {
            let sample = format!("counters_total{{value=\"{number}\"}}");
            assert_eq!(value_of(&text, &sample), times, "{sample}");
        }
        assert!(!text.contains("bad_files"), "{text}");
    });
}

/// Like [`value`], but fast.
fn value_of(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn a_process_that_starts_on_a_full_disk_counts_and_goes_on_from_its_predecessor() {
    on_a_small_disk(|disk| {
        let mut predecessor = Peer::worker(disk);
        predecessor.tell("counter counter 100");
        predecessor.tell("gauge level livesum 7");
        predecessor.kill();
        let mut older = Peer::worker(disk);
        older.tell("counter counter 1");
        let filler = Filler::fill(disk);

        // As after a crash: the files are there. And as at a reload: they are not.
        older.kill();
        let mut workers = ["worker-0", ""].map(|identifier| {
            let mut worker = Peer::start(&mut Peer::worker_command(disk));
            assert_eq!(worker.ask("identifier"), identifier);
            worker
        });
        for worker in &mut workers {
            worker.tell("counter counter 10");
            worker.tell("gauge level livesum 2");
            worker.tell("observe duration 0.5");
        }
        assert_eq!(workers[1].ask("scrape counter_total"), "121");
        filler.remove();
        eventually_shows(disk, "counter_total", 121.0);
        eventually_shows(disk, "level", 4.0);
        eventually_shows(disk, "duration_count", 2.0);
        for worker in workers {
            worker.kill();
        }
        assert_eq!(value(&scrape(disk), "counter_total"), 121.0);
    });
}

#[test]
fn a_master_starts_on_a_full_disk() {
    on_a_small_disk(|disk| {
        let path = disk.join("metrics");
        fs::create_dir(&path).unwrap();
        let filler = Filler::fill(disk);
        let directory = Directory::prepare(Some(&path)).unwrap();
        directory.store().counter(opts("counter")).unwrap().inc();
        filler.remove();
        eventually_shows(&path, "counter_total", 1.0);
        directory.sweep().unwrap();
    });
}

#[test]
fn a_disk_that_is_read_only_for_a_while_costs_no_count() {
    on_a_small_disk(|disk| {
        let remount = |flags| {
            let flags = MsFlags::MS_REMOUNT | flags;
            mount(NONE, disk, NONE, flags, NONE).unwrap();
        };
        remount(MsFlags::MS_RDONLY);
        let mut worker = Peer::start(&mut Peer::worker_command(disk));
        worker.tell("counter counter 5");
        assert_eq!(worker.ask("identifier"), "");
        assert_eq!(worker.ask("scrape counter_total"), "5");
        remount(MsFlags::empty());
        eventually_shows(disk, "counter_total", 5.0);
        assert_eq!(worker.ask("identifier"), "worker-0");

        // Reading needs no permission to write, and changes nothing.
        worker.tell("gauge level livesum 1");
        fs::remove_file(disk.join("counter_worker-0.db")).unwrap();
        let before = names(disk);
        let text = {
            let view = Temporary::new();
            let flags = MsFlags::MS_BIND;
            mount(Some(disk), view.path(), NONE, flags, NONE).unwrap();
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(NONE, view.path(), NONE, flags, NONE).unwrap();
            let text = scrape(view.path());
            nix::mount::umount(view.path()).unwrap();
            text
        };
        assert_eq!(value(&text, "counter_total"), 5.0, "{text}");
        assert_eq!(value(&text, "level"), 1.0, "{text}");
        assert!(!text.contains("bad_files"), "{text}");
        assert_eq!(names(disk), before);
    });
}

#[test]
fn a_process_without_descriptors_starts_counts_and_answers() {
    let directory = Temporary::new();
    let mut predecessor = Peer::worker(directory.path());
    predecessor.tell("counter counter 100");
    predecessor.kill();
    // One descriptor suffices to load the program.
    let worker = Peer::worker_command(directory.path());
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -S -n 4; exec \"$0\" \"$@\""])
        .arg(worker.get_program())
        .args(worker.get_args());
    let mut worker = Peer::start(&mut limited);
    worker.tell("counter counter 1");
    assert_eq!(worker.ask("identifier"), "");
    // One is enough to read a file at a time.
    assert_eq!(worker.ask("scrape counter_total"), "101");
    worker.tell("descriptors 100");
    eventually_shows(directory.path(), "counter_total", 101.0);
    assert_eq!(worker.ask("scrape counter_total"), "101");

    // Out of descriptors once more: live gauges of live processes stay in a scrape.
    let mut other = Peer::worker(directory.path());
    other.tell("gauge level livesum 3");
    assert_eq!(worker.ask("scrape level"), "3");
    worker.tell("descriptors 0");
    worker.tell("observe duration 0.5");
    other.tell("gauge level livesum 4");
    assert_eq!(worker.ask("scrape level"), "4");
    assert_eq!(worker.ask("scrape counter_total"), "101");
    assert_eq!(worker.ask("scrape duration_count"), "1");
    worker.tell("descriptors 100");
    eventually_shows(directory.path(), "duration_count", 1.0);
}

#[test]
fn a_directory_that_was_removed_comes_back_with_what_living_processes_counted() {
    let parent = Temporary::new();
    let path = parent.join("metrics");
    let directory = Directory::prepare(Some(&path)).unwrap();
    directory.store().counter(opts("counter")).unwrap().inc();
    let mut workers = [Peer::worker(&path), Peer::worker(&path)];
    for worker in &mut workers {
        worker.tell("counter counter 10");
        worker.tell("gauge level livesum 2");
    }
    let collector = MultiProcessCollector::new(&path).unwrap();
    let collect = || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        text
    };
    assert_eq!(value(&collect(), "counter_total"), 21.0);
    for round in 1..=3_u32 {
        // Workers may put back a file meanwhile.
        eventually("the removal", || fs::remove_dir_all(&path).is_ok());
        workers[0].tell("counter counter 100");
        workers[1].tell("gauge level livesum 3");
        collect();
        // One that starts meanwhile.
        let mut late = Peer::start(&mut Peer::worker_command(&path));
        late.tell("counter late 1");
        let expected = f64::from(21 + 100 * round);
        eventually("the sum", || {
            let text = collect();
            value(&text, "counter_total") == expected
                && value(&text, "level") == 5.0
                && value(&text, "late_total") == 1.0
        });
        workers[1].tell("gauge level livesum 2");
        workers[1].tell("gauge level livesum 3");
    }
    // A master that holds what it prepared is seen again, too.
    eventually("the lock of the master", || {
        Directory::prepare(Some(&path)).is_err()
    });
    directory.sweep().unwrap();
}

#[test]
fn a_file_that_another_took_the_place_of_comes_back_with_what_was_counted() {
    let directory = Temporary::new();
    let mut worker = Peer::worker(directory.path());
    worker.tell("counter counter 1");
    let path = directory.join("worker-0/counter.db");
    for round in 1..=3_u32 {
        // A backup of all files that is put back.
        fs::copy(&path, directory.join("copy")).unwrap();
        worker.tell("counter counter 10");
        fs::rename(directory.join("copy"), &path).unwrap();
        worker.tell("counter counter 10");
        let expected = f64::from(1 + 20 * round);
        eventually_shows(directory.path(), "counter_total", expected);
        fs::remove_file(&path).unwrap();
        worker.tell("series by_value x");
        let sample = "by_value_total{value=\"x\"}";
        eventually_shows(directory.path(), sample, f64::from(round));
    }
    let incidents = "multiprocess_incidents_total{kind=\"file_restored\"}";
    eventually_shows(directory.path(), incidents, 6.0);
    worker.kill();
    assert_eq!(value(&scrape(directory.path()), "counter_total"), 61.0);
}

#[test]
fn services_that_start_and_stop_side_by_side_share_nothing_and_leave_nothing() {
    start_and_stop(100);
}

#[test]
#[ignore = "takes a while"]
fn ten_thousand_starts_and_stops_side_by_side_share_nothing_and_leave_nothing() {
    start_and_stop(1250);
}

/// Two processes with four threads each start and stop services that many times.
fn start_and_stop(times: usize) {
    let runtime = Temporary::new();
    let directory = Temporary::new();
    let mut command = Peer::worker_command(directory.path());
    let mut peers: Vec<Peer> = (0..2)
        .map(|_| Peer::start(command.env("XDG_RUNTIME_DIR", runtime.path())))
        .collect();
    for peer in &mut peers {
        peer.send(&format!("starts 4 {times}"));
    }
    for peer in &mut peers {
        assert_eq!(peer.answer(), "ok");
    }
    assert_eq!(names(runtime.path()), Vec::<String>::new());
}
