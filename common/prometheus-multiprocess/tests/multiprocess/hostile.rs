//! Files of our own names with any contents, and files that change while they are read.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use prometheus::Opts;
use prometheus_multiprocess::{MultiProcessCollector, Store};

use crate::support::{Random, Temporary, samples, scrape, value};

const KINDS: [&str; 6] = [
    "counter",
    "gauge_all",
    "gauge_mostrecent",
    "gauge_sum",
    "histogram",
    "summary",
];

/// A file that a process of ours has left, of each kind.
fn seeds() -> Vec<Vec<u8>> {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let opts = || Opts::new("m", "Help \"\\\n\u{e9}");
    let counters = store.counter_vec(opts(), &["a", "b"]).unwrap();
    for value in ["1", "2", "\u{1f600}\"\\\n"] {
        counters.with_label_values(&[value, "x"]).inc();
    }
    let histogram = prometheus::HistogramOpts::new("h", "Help").buckets(vec![0.1, 1.0]);
    store.histogram(histogram).unwrap().observe(0.5);
    store.summary(Opts::new("s", "Help")).unwrap().observe(0.5);
    store.gauge(Opts::new("g", "Help")).unwrap().set(-1.5);
    let home = directory.join("worker-0");
    let files = fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some());
    // Cut, so that damage hits what is in use.
    files
        .map(|path| fs::read(path).unwrap()[..1200].to_vec())
        .collect()
}

/// Puts a file in its place as another inode, as everything does that replaces files.
fn put(path: &Path, bytes: &[u8]) {
    let unfinished = path.with_extension("put");
    fs::write(&unfinished, bytes).unwrap();
    fs::rename(unfinished, path).unwrap();
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len().max(1));
    match random.below(5) {
        _ if bytes.is_empty() => {}
        0 => bytes[at] = random.next() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes.truncate(at),
        3 => bytes[at..].fill(0),
        _ => {
            let numbers = [0, 1, 8, -1, i32::MAX, i32::MIN, 64, 1200, 4096];
            let number = *random.one_of(&numbers);
            if let Some(field) = bytes.get_mut(at & !3..(at & !3) + 4) {
                field.copy_from_slice(&number.to_ne_bytes());
            }
        }
    }
}

#[test]
fn no_contents_of_our_own_files_make_a_scrape_or_a_successor_fail() {
    let directory = Temporary::new();
    let home = directory.join("worker-0");
    fs::create_dir(&home).unwrap();
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let (seeds, mut random) = (seeds(), Random::new(3));
    for round in 0..3000 {
        let mut bytes = random.one_of(&seeds).clone();
        for _ in 0..random.below(6) {
            damage(&mut bytes, &mut random);
        }
        put(&home.join(format!("{}.db", random.one_of(&KINDS))), &bytes);
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let value = line.rsplit_once(' ').map(|(_, value)| value.parse::<f64>());
            assert!(matches!(value, Some(Ok(_))), "round {round}: {line}");
        }
        samples(&text);
        if round % 10 == 0 {
            assert_eq!(text, scrape(directory.path()), "round {round}");
        }
        if round % 100 == 0 {
            let store = Store::open(directory.path()).unwrap();
            let after = store.counter(Opts::new("after", "Help")).unwrap();
            let gauge = store.gauge(Opts::new("after_gauge", "Help")).unwrap();
            gauge.set(1.0);
            let before = after.get();
            after.inc();
            let text = scrape(directory.path());
            assert_eq!(value(&text, "after_total"), before + 1.0, "round {round}");
            assert!(!text.contains("file=\"worker-0/counter.db\""), "{text}");
        }
    }
}

#[test]
fn files_that_are_swapped_for_smaller_ones_while_they_are_read_harm_nobody() {
    let directory = Temporary::new();
    let home = directory.join("worker-0");
    fs::create_dir(&home).unwrap();
    let large = {
        let directory = Temporary::new();
        let store = Store::open(directory.path()).unwrap();
        let counters = store.counter_vec(Opts::new("c", "Help"), &["v"]).unwrap();
        for value in 0..1500 {
            counters.with_label_values(&[value.to_string()]).inc();
        }
        fs::read(directory.join("worker-0/counter.db")).unwrap()
    };
    assert!(large.len() > 65_536);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let collector = MultiProcessCollector::new(directory.path()).unwrap();
                while !done.load(Relaxed) {
                    let mut text = String::new();
                    collector.encode_text(&mut text).unwrap();
                }
            });
        }
        let path = home.join("counter.db");
        for round in 0..1000 {
            // The mapping of a file that was cut would end before its last page.
            let size = [large.len(), 4096, 100, 0][round % 4];
            put(&path, &large[..size]);
            if round % 7 == 0 {
                fs::remove_file(&path).unwrap();
            }
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn a_length_that_changes_after_it_was_read_does_not_stop_a_scrape() {
    let directory = Temporary::new();
    let stores = [(); 2].map(|()| Store::open(directory.path()).unwrap());
    let count = |store: &Store, value: &str| {
        let counters = store.counter_vec(Opts::new("c", "Help"), &["v"]).unwrap();
        counters.with_label_values(&[value]).inc();
    };
    // In another order, so that keys are looked up.
    let orders = [["a", "b"], ["b", "a"]];
    for (store, order) in stores.iter().zip(orders) {
        order.iter().for_each(|value| count(store, value));
    }
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let collect = || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        text
    };
    assert_eq!(value(&collect(), "c_total{v=\"a\"}"), 2.0);
    for name in ["worker-0/counter.db", "worker-1/counter.db"] {
        let path = directory.join(name);
        let file = fs::File::options().write(true).open(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        // Each length field stands before the bracket of its key.
        let starts = (4..bytes.len()).filter(|at| bytes[*at..].starts_with(b"[\"c\""));
        for start in starts {
            file.write_all_at(&i32::MAX.to_ne_bytes(), start as u64 - 4)
                .unwrap();
        }
    }
    count(&stores[0], "c");
    count(&stores[1], "more");
    count(&stores[1], "c");
    assert_eq!(value(&collect(), "c_total{v=\"c\"}"), 2.0);
}
