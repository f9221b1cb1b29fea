//! Initial inputs of the fuzzer.
//!
//! They are messages and files of real clients, so that the fuzzer starts with valid formats.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use common::multiprocess::{GaugeMode, GaugeOpts, Store};
use prometheus::{HistogramOpts, Opts};

/// An input and its name.
pub(crate) type Seed = (String, Vec<u8>);

/// Writes inputs into the directory that `FUZZ_SEEDS` names, if there is one.
pub fn write(seeds: fn() -> Vec<Seed>) {
    let Some(directory) = env::var_os("FUZZ_SEEDS") else {
        return;
    };
    for (name, bytes) in seeds() {
        let path = Path::new(&directory).join(format!("seed-{name}"));
        fs::write(path, bytes).expect("the directory of FUZZ_SEEDS can be written");
    }
}

/// A file of each kind, after the byte that selects its name.
pub fn store() -> Vec<Seed> {
    let directory = env::temp_dir().join(format!("seeds-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the directory for temporary files can be written");
    let store = Store::open(&directory).expect("it was just created");
    let labels = ["method", "path"];
    let values = ["GET", "/\u{1f600}\"\\\n"];
    let opts = |name: &str| Opts::new(name, "Help \"\\\n\u{e9}");
    store
        .counter_vec(opts("c"), &labels)
        .expect("valid")
        .with_label_values(&values)
        .inc();
    for mode in [GaugeMode::All, GaugeMode::MostRecent] {
        let opts = GaugeOpts::from(opts(&format!("g_{}", mode.as_str()))).mode(mode);
        store
            .gauge_vec(opts, &labels)
            .expect("valid")
            .with_label_values(&values)
            .set(-1.5);
    }
    let histogram = HistogramOpts::from(opts("h")).buckets(vec![0.1, 1.0]);
    store
        .histogram_vec(histogram, &labels)
        .expect("valid")
        .with_label_values(&values)
        .observe(0.5);
    store
        .summary_vec(opts("s"), &labels)
        .expect("valid")
        .with_label_values(&values)
        .observe(0.5);
    let kinds = [
        "counter_",
        "gauge_all_",
        "gauge_mostrecent_",
        "histogram_",
        "summary_",
    ];
    // Once for each way of reading.
    let files = kinds.iter().cycle().take(2 * kinds.len()).enumerate();
    let files = files.map(|(kind, prefix)| {
        let path: PathBuf = directory.join(format!("{prefix}worker-0.db"));
        let bytes = fs::read(path).expect("it was just written");
        let used = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let used = usize::try_from(used).expect("a file has a length");
        (
            format!("{prefix}{kind}"),
            [&[kind as u8], &bytes[..used]].concat(),
        )
    });
    let files = files.collect();
    fs::remove_dir_all(directory).expect("it was just created");
    files
}
