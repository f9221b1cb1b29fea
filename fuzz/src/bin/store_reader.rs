//! Scrapes a directory with one file of arbitrary bytes. The scrape must succeed, and a reused
//! collector must return the same text as a new one.
//!
//! The first byte selects the name of the file, and the rest is its content. A file with the name
//! of one of ours is mapped, others are read.
#![no_main]

use std::{fs, path::PathBuf, sync::OnceLock};

use common::multiprocess::MultiProcessCollector;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 10] = [
    "counter_1.db",
    "gauge_all_1.db",
    "gauge_mostrecent_1.db",
    "histogram_1.db",
    "summary_1.db",
    "worker-0/counter.db",
    "worker-0/gauge_all.db",
    "worker-0/gauge_mostrecent.db",
    "worker-0/histogram.db",
    "worker-0/summary.db",
];

static KEPT: OnceLock<(PathBuf, MultiProcessCollector)> = OnceLock::new();

fuzz_target!(init: fuzz::seeds::write("store_reader"), |bytes: &[u8]| {
    let (directory, kept) = KEPT.get_or_init(prepare);
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let path = directory.join(NAMES[usize::from(*kind) % NAMES.len()]);
    fs::write(&path, bytes).expect("the file can be written");
    let text = scrape(kept);
    let new = MultiProcessCollector::new(directory).expect("it is still there");
    assert_eq!(text, scrape(&new));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a sample has a value");
        value.parse::<f64>().expect("the value is a number");
    }
    fs::remove_file(path).expect("it was just written");
});

fn prepare() -> (PathBuf, MultiProcessCollector) {
    let directory = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    fs::create_dir_all(directory.join("worker-0"))
        .expect("the directory for temporary files can be written");
    let collector = MultiProcessCollector::new(&directory).expect("it was just created");
    (directory, collector)
}

fn scrape(collector: &MultiProcessCollector) -> String {
    let mut text = String::new();
    collector
        .encode_text(&mut text)
        .expect("a bad file is no error");
    text
}
