//! Definitions that change from one generation of processes to the next, or contradict each other.

use std::path::Path;

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{GaugeMode, GaugeOpts, Store};

use crate::support::{Temporary, eventually, samples, scrape, value};

/// Two processes that do the same. They live as long as what is returned.
fn generation(directory: &Path, count: impl Fn(&Store)) -> Vec<Store> {
    let stores: Vec<Store> = (0..2).map(|_| Store::open(directory).unwrap()).collect();
    // The time of a file is as exact as the timer of the kernel.
    std::thread::sleep(std::time::Duration::from_millis(20));
    stores.iter().for_each(count);
    stores
}

fn gauge(store: &Store, name: &str, mode: GaugeMode) {
    let opts = GaugeOpts::new(name, "Help").mode(mode);
    store.gauge(opts).unwrap().set(50.0);
}

/// The samples of a name, without its labels, and their sum.
fn sum(text: &str, name: &str) -> (usize, f64) {
    let named = |sample: &String| sample.split('{').next() == Some(name);
    let values: Vec<f64> = samples(text)
        .iter()
        .filter(|(sample, _)| named(sample))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .collect();
    (values.len(), values.iter().sum())
}

#[test]
fn gauges_of_an_old_generation_are_not_counted_beside_those_of_the_new_one() {
    let directory = Temporary::new();
    let count = |store: &Store| {
        gauge(store, "total", GaugeMode::Sum);
        gauge(store, "each", GaugeMode::All);
        gauge(store, "peak", GaugeMode::Max);
    };
    let old = generation(directory.path(), count);
    let new = generation(directory.path(), count);
    drop(old);
    let text = scrape(directory.path());
    assert_eq!(sum(&text, "total"), (1, 100.0), "{text}");
    assert_eq!(sum(&text, "each"), (2, 100.0), "{text}");
    drop(new);
    // Nobody is left, so what was last is what there is.
    let text = scrape(directory.path());
    assert_eq!(value(&text, "peak"), 50.0, "{text}");
}

#[test]
fn a_gauge_whose_mode_changes_has_the_new_mode_at_once_and_after_the_old_processes() {
    for (before, after) in [
        (GaugeMode::All, GaugeMode::LiveSum),
        (GaugeMode::LiveSum, GaugeMode::All),
        (GaugeMode::Max, GaugeMode::Sum),
    ] {
        let directory = Temporary::new();
        let old = generation(directory.path(), |store| gauge(store, "gauge", before));
        let new = generation(directory.path(), |store| gauge(store, "gauge", after));
        let assert_new = || {
            let text = scrape(directory.path());
            let value = sum(&text, "gauge").1;
            assert_eq!(value, 100.0, "{before:?} {after:?}:\n{text}");
            assert!(!text.contains("bad_files"), "{text}");
        };
        assert_new();
        assert_new();
        drop(old);
        assert_new();
        // Their successors find the old definition in the files.
        let next = generation(directory.path(), |store| gauge(store, "gauge", after));
        drop(new);
        assert_new();
        drop(next);
    }
}

#[test]
fn a_metric_whose_type_or_labels_change_has_the_new_ones_and_no_others() {
    let directory = Temporary::new();
    let old = generation(directory.path(), |store| {
        let counters = store
            .counter_vec(Opts::new("labels", "Help"), &["a"])
            .unwrap();
        counters.with_label_values(&["1"]).inc();
        store
            .summary(Opts::new("kind", "Help"))
            .unwrap()
            .observe(1.0);
        store.counter(Opts::new("help", "Old")).unwrap().inc();
    });
    let count = |store: &Store| {
        let counters = store.counter_vec(Opts::new("labels", "Help"), &["a", "b"]);
        counters.unwrap().with_label_values(&["1", "2"]).inc();
        let opts = HistogramOpts::new("kind", "Help").buckets(vec![1.0]);
        store.histogram(opts).unwrap().observe(1.0);
        store.counter(Opts::new("help", "New")).unwrap().inc();
    };
    let check = |processes: f64| {
        let text = scrape(directory.path());
        assert_eq!(sum(&text, "labels_total"), (1, processes), "{text}");
        assert!(text.contains("labels_total{a=\"1\",b=\"2\"}"), "{text}");
        assert!(text.contains("# TYPE kind histogram"), "{text}");
        assert_eq!(value(&text, "kind_count"), processes, "{text}");
        assert!(text.contains("# HELP help_total New\n"), "{text}");
        assert!(!text.contains("bad_files"), "{text}");
    };
    let new = generation(directory.path(), count);
    check(2.0);
    drop(old);
    check(2.0);
    // Their successors find the old definitions in the files.
    let next = generation(directory.path(), count);
    check(4.0);
    drop((new, next));
    check(4.0);
}

#[test]
fn a_metric_that_no_process_declares_any_more_goes_when_the_last_one_ends_that_did() {
    let directory = Temporary::new();
    let kept = |store: &Store| store.counter(Opts::new("kept", "Help")).unwrap().inc();
    let old = generation(directory.path(), |store| {
        kept(store);
        store.counter(Opts::new("gone", "Help")).unwrap().inc();
        gauge(store, "gone_gauge", GaugeMode::Max);
    });
    // Each new one takes the place of an old one, as in a reload.
    let mut new = Vec::new();
    for ended in old {
        let text = scrape(directory.path());
        assert_eq!(value(&text, "gone_total"), 2.0, "{text}");
        assert_eq!(value(&text, "gone_gauge"), 50.0, "{text}");
        drop(ended);
        let store = Store::open(directory.path()).unwrap();
        // It has not said yet what it will have.
        assert_eq!(value(&scrape(directory.path()), "gone_total"), 2.0);
        kept(&store);
        new.push(store);
    }
    // They have a second to register what they have.
    eventually("the end of what is gone", || {
        !scrape(directory.path()).contains("gone")
    });
    let text = scrape(directory.path());
    assert!(!text.contains("bad_files"), "{text}");
    assert_eq!(value(&text, "kept_total"), 4.0, "{text}");
    // One that comes late goes on from what was counted.
    new[1].counter(Opts::new("gone", "Help")).unwrap().inc();
    assert_eq!(value(&scrape(directory.path()), "gone_total"), 3.0);
    drop(new);
    assert_eq!(value(&scrape(directory.path()), "gone_total"), 3.0);
    assert_eq!(value(&scrape(directory.path()), "kept_total"), 4.0);
}

#[test]
fn a_histogram_whose_bounds_change_has_the_new_ones_at_once_and_counts_nothing_twice() {
    let directory = Temporary::new();
    let observe = |store: &Store, buckets: &[f64], values: &[f64]| {
        let opts = HistogramOpts::new("h", "Help").buckets(buckets.to_vec());
        let histogram = store.histogram(opts).unwrap();
        values.iter().for_each(|&value| histogram.observe(value));
    };
    let buckets = |text: &str| -> Vec<(String, f64)> {
        let bucket = |line: &str| {
            let (bound, value) = line.strip_prefix("h_bucket{le=\"")?.split_once("\"} ")?;
            Some((bound.to_owned(), value.parse().unwrap()))
        };
        text.lines().filter_map(bucket).collect()
    };
    let expect = |expected: &[(&str, f64)]| {
        let text = scrape(directory.path());
        let expected: Vec<_> = expected
            .iter()
            .map(|(le, n)| ((*le).to_owned(), *n))
            .collect();
        assert_eq!(buckets(&text), expected, "{text}");
        assert_eq!(value(&text, "h_count"), expected[expected.len() - 1].1);
        assert!(!text.contains("bad_files"), "{text}");
    };
    let values = [0.05, 0.3, 0.7, 3.0, 20.0];
    let old = generation(directory.path(), |store| {
        observe(store, &[0.1, 0.5, 1.0, 10.0], &values)
    });
    expect(&[
        ("0.1", 2.0),
        ("0.5", 4.0),
        ("1.0", 6.0),
        ("10.0", 8.0),
        ("+Inf", 10.0),
    ]);
    let new = generation(directory.path(), |store| {
        observe(store, &[0.2, 1.0, 5.0], &values)
    });
    // What was observed up to 0.5 and up to 10 may be in the next bucket.
    expect(&[("0.2", 4.0), ("1.0", 12.0), ("5.0", 14.0), ("+Inf", 20.0)]);
    drop(old);
    expect(&[("0.2", 4.0), ("1.0", 12.0), ("5.0", 14.0), ("+Inf", 20.0)]);
    // Their successors go on with the files that have the old bounds.
    let next = generation(directory.path(), |store| observe(store, &[1.0], &values));
    expect(&[("1.0", 18.0), ("+Inf", 30.0)]);
    drop((new, next));
    expect(&[("1.0", 18.0), ("+Inf", 30.0)]);
}

#[test]
fn a_metric_whose_samples_have_the_name_of_another_is_refused() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("x", "Help")).unwrap();
    store.histogram(HistogramOpts::new("h", "Help")).unwrap();
    store.summary(Opts::new("s", "Help")).unwrap();
    for (name, of) in [
        ("x_total", "x"),
        ("h_count", "h"),
        ("h_sum", "h"),
        ("h_bucket", "h"),
        ("s_sum", "s"),
    ] {
        let refused = store.gauge(Opts::new(name, "Help")).map(drop);
        let error = refused.expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
        assert!(error.contains(&format!("{of:?}")), "{error}");
    }
    store.gauge(Opts::new("x", "Help")).map(drop).unwrap_err();
    store.gauge(Opts::new("h_max", "Help")).unwrap();
}

#[test]
fn an_infinite_observation_is_ignored_and_spoils_no_sum() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counter = store.counter(Opts::new("c", "Help")).unwrap();
    let gauge = store
        .gauge(GaugeOpts::new("g", "Help").mode(GaugeMode::Sum))
        .unwrap();
    let histogram = store.histogram(HistogramOpts::new("h", "Help")).unwrap();
    let summary = store.summary(Opts::new("s", "Help")).unwrap();
    for number in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0] {
        counter.inc_by(number);
        gauge.add(number);
        histogram.observe(number);
        summary.observe(number);
    }
    let text = scrape(directory.path());
    for sample in ["c_total", "g", "h_sum", "h_count", "s_sum", "s_count"] {
        assert_eq!(value(&text, sample), 1.0, "{sample}:\n{text}");
    }
    let incidents = "multiprocess_incidents_total{kind=\"invalid_update\"}";
    assert_eq!(value(&text, incidents), 12.0);
}
