//! When the sum over all processes began: the start time of a counter, histogram or summary.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{GaugeMode, GaugeOpts, MultiProcessCollector, Store};
use serde_json::json;

use crate::support::{
    Peer, Temporary, answer, eventually, openmetrics, prepare_again, python, samples, scrape, value,
};

/// The start time of a series, if the scrape tells it.
fn start(directory: &Path, series: &str) -> Option<f64> {
    let text = openmetrics(directory);
    let found = samples(&text).get(series).cloned();
    found.map(|seconds| seconds.parse().unwrap())
}

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

/// Waits until a later start time is another one.
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn only_openmetrics_has_start_times_and_gauges_have_none() {
    let directory = Temporary::new();
    let before = now() - 0.001;
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("counter", "")).unwrap().inc();
    let series = store.counter_vec(Opts::new("series", ""), &["a"]).unwrap();
    series.with_label_values(&["x \"y\""]).inc();
    store.summary(Opts::new("summary", "")).unwrap();
    let opts = HistogramOpts::new("histogram", "").buckets(vec![-1.0, 1.0]);
    store.histogram(opts).unwrap();
    for mode in GaugeMode::ALL {
        let opts = GaugeOpts::new(mode.as_str(), "").mode(mode);
        store.gauge(opts).unwrap().set(1.0);
    }
    let after = now();
    let text = openmetrics(directory.path());
    for name in [
        "counter_created",
        "series_created{a=\"x \\\"y\\\"\"}",
        "summary_created",
    ] {
        let start = value(&text, name);
        assert!((before..=after).contains(&start), "{name}: {text}");
    }
    assert!(value(&text, "histogram_created") >= before, "{text}");
    // With that of the store's own counter, which has five series.
    assert_eq!(text.matches("_created").count(), 9, "{text}");
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    for accept in ["text/plain;version=1.0.0", "text/plain;version=0.0.4"] {
        let text = answer(&collector, accept);
        assert!(!text.contains("_created"), "{text}");
    }
    // The same collector, which has read the files already.
    assert!(answer(&collector, "application/openmetrics-text").contains("_created"));
}

#[test]
fn pythons_variable_turns_start_times_off() {
    let directory = Temporary::new();
    // The store's own counter has five series.
    for (value, expected) in [("True", "0"), ("1", "0"), ("false", "5"), ("", "5")] {
        let mut command = Peer::worker_command(directory.path());
        let mut worker = Peer::start(command.env("PROMETHEUS_DISABLE_CREATED_SERIES", value));
        assert_eq!(worker.ask("openmetrics"), expected, "{value}");
    }
}

#[test]
fn a_series_starts_with_its_first_process_whatever_comes_after() {
    let directory = Temporary::new();
    let before = now() - 0.001;
    let mut first = Peer::worker(directory.path());
    first.tell("counter counter 1");
    first.tell("observe histogram 0.5");
    let after = now();
    let names = ["counter_created", "histogram_created"];
    let starts = names.map(|name| start(directory.path(), name));
    let is_right = |start: &Option<f64>| (before..=after).contains(&start.unwrap());
    assert!(starts.iter().all(is_right), "{starts:?}");
    let assert_same = || {
        assert_eq!(names.map(|name| start(directory.path(), name)), starts);
    };
    pause();
    let mut second = Peer::worker(directory.path());
    second.tell("counter counter 1");
    assert_same();
    first.kill();
    assert_same();
    let mut successor = Peer::worker(directory.path());
    successor.tell("counter counter 1");
    assert_same();
    // A reload with another help text and other buckets, while an old process runs.
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("counter", "New")).unwrap().inc();
    let opts = HistogramOpts::new("histogram", "New").buckets(vec![0.2, 2.0]);
    store.histogram(opts).unwrap().observe(0.1);
    assert_same();
    second.kill();
    successor.kill();
    assert_same();
    assert_eq!(value(&scrape(directory.path()), "counter_total"), 4.0);
}

#[test]
fn a_series_of_a_process_that_counted_in_memory_starts_with_the_file_that_it_takes_over() {
    let directory = Temporary::new();
    let away = directory.path().with_extension("away");
    let mut predecessor = Peer::worker(directory.path());
    predecessor.tell("counter counter 1");
    predecessor.kill();
    let first = start(directory.path(), "counter_created");
    fs::rename(directory.path(), &away).unwrap();
    pause();
    let store = Store::open(directory.path()).unwrap();
    let counter = store.counter(Opts::new("counter", "A metric")).unwrap();
    let other = store.counter(Opts::new("other", "A metric")).unwrap();
    counter.inc();
    other.inc();
    fs::rename(&away, directory.path()).unwrap();
    eventually("the takeover", || {
        value(&scrape(directory.path()), "counter_total") == 2.0
    });
    assert_eq!(start(directory.path(), "counter_created"), first);
    assert!(start(directory.path(), "other_created") > first);
}

#[test]
fn a_series_starts_anew_in_a_directory_that_was_emptied() {
    let named = Temporary::new();
    let count = || {
        let directory = prepare_again(named.path());
        let mut worker = Peer::worker(directory.path());
        worker.tell("counter counter 5");
        worker.kill();
        start(named.path(), "counter_created")
    };
    let first = count();
    pause();
    assert!(count() > first, "{first:?}");
}

#[test]
fn a_series_to_which_python_adds_has_no_start_time() {
    let Some(mut python) = python() else {
        return;
    };
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let collector = store.collector().unwrap();
    let created = || answer(&collector, "application/openmetrics-text");
    for name in ["shared", "own"] {
        store.counter(Opts::new(name, "h")).unwrap().inc();
    }
    assert!(created().contains("shared_created"));
    let metric = json!({
        "type": "counter", "name": "shared", "help": "h", "labels": [], "series": [[[], ["2"]]],
    });
    let workers = json!([{ "identifier": "7", "metrics": [metric] }]);
    let write = json!({ "do": "write", "directory": directory.path(), "workers": workers });
    python.tell(&write.to_string());
    let text = created();
    assert_eq!(value(&text, "shared_total"), 3.0, "{text}");
    assert!(!text.contains("shared_created"), "{text}");
    assert!(text.contains("own_created"), "{text}");
}

#[test]
fn a_metric_with_the_name_of_a_start_time_keeps_it() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("counter", "")).unwrap().inc();
    let gauge = store.gauge(Opts::new("counter_created", "")).unwrap();
    gauge.set(5.0);
    let text = openmetrics(directory.path());
    assert_eq!(text.matches("\ncounter_created").count(), 1, "{text}");
    assert_eq!(
        value(&text, "counter_created{pid=\"worker-0\"}"),
        5.0,
        "{text}"
    );
}
