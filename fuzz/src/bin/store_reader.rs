//! Scrapes a directory with two files of one kind: one of arbitrary bytes, and one of half of them. Then the files change
//! places. Each scrape must succeed, and a reused collector must return the same text as a new one.
//!
//! The first byte selects the names of the files, and the rest is their content. Files with the names of ours are
//! mapped, others are read.
#![no_main]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use common::multiprocess::MultiProcessCollector;
use libfuzzer_sys::fuzz_target;

/// As many names of other programs as of ours.
const NAMES: [&str; 10] = [
    "counter_N.db",
    "gauge_all_N.db",
    "gauge_mostrecent_N.db",
    "histogram_N.db",
    "summary_N.db",
    "worker-N/counter.db",
    "worker-N/gauge_all.db",
    "worker-N/gauge_mostrecent.db",
    "worker-N/histogram.db",
    "worker-N/summary.db",
];

static KEPT: OnceLock<(PathBuf, MultiProcessCollector)> = OnceLock::new();

fuzz_target!(init: fuzz::seeds::write(fuzz::seeds::store), |bytes: &[u8]| {
    let (directory, kept) = KEPT.get_or_init(prepare);
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*kind) % NAMES.len()];
    let paths = ["0", "1"].map(|number| directory.join(name.replace('N', number)));
    let half = &bytes[..bytes.len() / 2];
    for contents in [[bytes, half], [half, bytes]] {
        for (path, content) in paths.iter().zip(contents) {
            put(path, content, name.starts_with("worker"));
        }
        let text = scrape(kept);
        let new = MultiProcessCollector::new(directory).expect("it is still there");
        assert_eq!(text, scrape(&new));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').expect("a sample has a value");
            value.parse::<f64>().expect("the value is a number");
        }
    }
    for path in paths {
        fs::remove_file(path).expect("it was just written");
    }
});

/// Writes a file, over the one that is there or in its place.
fn put(path: &Path, content: &[u8], is_ours: bool) {
    if !is_ours {
        return fs::write(path, content).expect("the file can be written");
    }
    // Nobody cuts a file of ours, which may be mapped.
    let unfinished = path.with_extension("put");
    fs::write(&unfinished, content).expect("the file can be written");
    fs::rename(unfinished, path).expect("it was just written");
}

fn prepare() -> (PathBuf, MultiProcessCollector) {
    let directory = std::env::temp_dir().join(format!("fuzz-{}", std::process::id()));
    for home in ["worker-0", "worker-1"] {
        fs::create_dir_all(directory.join(home))
            .expect("the directory for temporary files can be written");
    }
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
