//! The API of one process.

use std::sync::Arc;

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{GaugeMode, GaugeOpts, OVERFLOW, Store};

use crate::support::{Temporary, samples, scrape, value};

#[test]
fn a_counter_is_shown_with_and_without_total_in_its_name() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    store
        .counter(Opts::new("with_total", "Help"))
        .unwrap()
        .inc_by(2.5);
    store.counter(Opts::new("without", "Help")).unwrap().inc();
    let text = scrape(directory.path());
    assert!(
        text.contains("# HELP with_total Help\n# TYPE with_total counter\nwith_total 2.5\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "# HELP without_total Help\n# TYPE without_total counter\nwithout_total 1.0\n"
        ),
        "{text}"
    );
}

#[test]
fn invalid_options_are_refused_with_the_name_of_the_metric() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("taken", "Help")).unwrap();
    let label = |name: &str| {
        store
            .counter_vec(Opts::new("labelled", "Help"), &[name])
            .map(drop)
    };
    let constant = Opts::new("constant", "Help").const_label("a", "1");
    let bounds = |bounds: &[f64]| {
        store
            .histogram(HistogramOpts::new("bounded", "Help").buckets(bounds.to_vec()))
            .map(drop)
    };
    let failures = [
        ("a b", store.counter(Opts::new("a b", "Help")).map(drop)),
        (
            "taken",
            store.counter(Opts::new("taken", "Other help")).map(drop),
        ),
        (
            "taken",
            store
                .counter_vec(Opts::new("taken", "Help"), &["label"])
                .map(drop),
        ),
        ("taken", store.gauge(Opts::new("taken", "Help")).map(drop)),
        ("labelled", label("a-b")),
        ("labelled", label("__a")),
        ("constant", store.counter_vec(constant, &["a"]).map(drop)),
        (
            "histo",
            store
                .histogram_vec(HistogramOpts::new("histo", "Help"), &["le"])
                .map(drop),
        ),
        (
            "summ",
            store
                .summary_vec(Opts::new("summ", "Help"), &["quantile"])
                .map(drop),
        ),
        (
            "per_process",
            store
                .gauge_vec(Opts::new("per_process", "Help"), &["pid"])
                .map(drop),
        ),
        ("bounded", bounds(&[1.0, 1.0])),
        ("bounded", bounds(&[2.0, 1.0])),
        ("bounded", bounds(&[f64::NAN])),
        (
            "variable",
            store
                .counter(Opts::new("variable", "Help").variable_label("a"))
                .map(drop),
        ),
    ];
    for (name, failure) in failures {
        let error = failure.expect_err(name).to_string();
        assert!(error.contains(name), "{name} is not in: {error}");
    }
    assert_eq!(
        samples(&scrape(directory.path()))
            .keys()
            .filter(|name| !is_own(name))
            .count(),
        1
    );
}

#[test]
fn the_same_metric_registered_twice_is_one() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let opts = || Opts::new("requests", "Help");
    store
        .counter_vec(opts(), &["method"])
        .unwrap()
        .with_label_values(&["GET"])
        .inc();
    store
        .counter_vec(opts(), &["method"])
        .unwrap()
        .with_label_values(&["GET"])
        .inc();
    assert_eq!(
        value(&scrape(directory.path()), "requests_total{method=\"GET\"}"),
        2.0
    );
}

#[test]
fn an_update_that_cannot_be_is_ignored_and_counted() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counter = store.counter(Opts::new("counter", "Help")).unwrap();
    counter.inc_by(-1.0);
    counter.inc_by(f64::NAN);
    let recent = GaugeOpts::new("recent", "Help").mode(GaugeMode::MostRecent);
    let recent = store.gauge(recent).unwrap();
    recent.set(5.0);
    recent.inc();
    let histogram = store
        .histogram(HistogramOpts::new("histogram", "Help"))
        .unwrap();
    histogram.observe(f64::NAN);
    store
        .summary(Opts::new("summary", "Help"))
        .unwrap()
        .observe(f64::NAN);
    let text = scrape(directory.path());
    assert_eq!(value(&text, "counter_total"), 0.0);
    assert_eq!(value(&text, "recent"), 5.0);
    assert_eq!(value(&text, "histogram_sum"), 0.0);
    assert_eq!(value(&text, "histogram_count"), 0.0);
    assert_eq!(value(&text, "summary_count"), 0.0);
    assert_eq!(
        value(
            &text,
            "multiprocess_incidents_total{kind=\"invalid_update\"}"
        ),
        5.0
    );
}

#[test]
fn series_above_the_limit_are_counted_together_also_after_a_restart() {
    let directory = Temporary::new();
    let total = |text: &str| -> f64 {
        samples(text)
            .iter()
            .filter(|(name, _)| name.starts_with("limited_total"))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    };
    for round in 1..=3_u32 {
        let store = Store::open(directory.path()).unwrap().with_series_limit(10);
        let counters = store
            .counter_vec(Opts::new("limited", "Help"), &["a", "b"])
            .unwrap();
        for index in 0..30 {
            counters
                .with_label_values(&["x", &format!("{round}-{index}")])
                .inc();
        }
        counters.with_label_values(&["x", "1-3"]).inc();
        let text = scrape(directory.path());
        assert_eq!(total(&text), f64::from(31 * round));
        assert_eq!(text.matches("\nlimited_total{").count(), 11, "{text}");
        let overflow = format!("limited_total{{a=\"{OVERFLOW}\",b=\"{OVERFLOW}\"}}");
        assert_eq!(value(&text, &overflow), f64::from(20 + 30 * (round - 1)));
        assert_eq!(
            value(&text, "limited_total{a=\"x\",b=\"1-3\"}"),
            f64::from(round + 1)
        );
    }
    let text = scrape(directory.path());
    assert_eq!(
        value(&text, "multiprocess_incidents_total{kind=\"series_limit\"}"),
        80.0
    );
}

#[test]
fn the_wrong_number_of_label_values_loses_the_update_and_nothing_else() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counters = store
        .counter_vec(Opts::new("counters", "Help"), &["a", "b"])
        .unwrap();
    assert!(counters.get_metric_with_label_values(&["1"]).is_err());
    counters.with_label_values(&["1"]).inc();
    counters.with_label_values(&["1", "2"]).inc();
    // What is the same when the values are joined is not the same.
    counters.with_label_values(&["12", ""]).inc();
    counters.with_label_values(&["", "12"]).inc();
    let text = scrape(directory.path());
    assert_eq!(text.matches("\ncounters_total{").count(), 3, "{text}");
    assert_eq!(value(&text, "counters_total{a=\"1\",b=\"2\"}"), 1.0);
    assert_eq!(
        value(
            &text,
            "multiprocess_incidents_total{kind=\"series_refused\"}"
        ),
        1.0
    );
}

#[test]
fn removing_a_series_is_refused_with_the_reason() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counters = store
        .counter_vec(Opts::new("counters", "Help"), &["a"])
        .unwrap();
    counters.with_label_values(&["x"]).inc();
    let error = counters
        .remove_label_values(&["x"])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("counters") && error.contains("append only"),
        "{error}"
    );
}

#[test]
fn families_series_and_buckets_come_in_order() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let opts = HistogramOpts::new("z", "Help")
        .buckets(vec![0.5, 2.0, 10.0])
        .const_label("m", "c");
    let histograms = store.histogram_vec(opts, &["z", "a"]).unwrap();
    histograms.with_label_values(&["2", "1"]).observe(1.0);
    histograms.with_label_values(&["1", "1"]).observe(100.0);
    store
        .gauge(GaugeOpts::new("b", "Help\nwith \\ two \"lines\"").mode(GaugeMode::Max))
        .unwrap()
        .set(-2.0);
    let text = scrape(directory.path());
    let expected = r#"# HELP b Help\nwith \\ two "lines"
# TYPE b gauge
b -2.0
# HELP multiprocess_incidents_total Updates refused and files repaired by the metric store, by kind
# TYPE multiprocess_incidents_total counter
multiprocess_incidents_total{kind="file_restored"} 0.0
multiprocess_incidents_total{kind="in_memory"} 0.0
multiprocess_incidents_total{kind="invalid_update"} 0.0
multiprocess_incidents_total{kind="series_limit"} 0.0
multiprocess_incidents_total{kind="series_refused"} 0.0
# HELP z Help
# TYPE z histogram
z_bucket{a="1",le="0.5",m="c",z="1"} 0.0
z_bucket{a="1",le="2.0",m="c",z="1"} 0.0
z_bucket{a="1",le="10.0",m="c",z="1"} 0.0
z_bucket{a="1",le="+Inf",m="c",z="1"} 1.0
z_sum{a="1",m="c",z="1"} 100.0
z_count{a="1",m="c",z="1"} 1.0
z_bucket{a="1",le="0.5",m="c",z="2"} 0.0
z_bucket{a="1",le="2.0",m="c",z="2"} 1.0
z_bucket{a="1",le="10.0",m="c",z="2"} 1.0
z_bucket{a="1",le="+Inf",m="c",z="2"} 1.0
z_sum{a="1",m="c",z="2"} 1.0
z_count{a="1",m="c",z="2"} 1.0
"#;
    assert_eq!(text, expected);
}

#[test]
fn many_threads_count_exactly_and_a_scrape_sees_what_was_counted_before_it() {
    const THREADS: usize = 8;
    const TIMES: usize = 5_000;
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counters = store
        .counter_vec(Opts::new("counters", "Help"), &["value"])
        .unwrap();
    let seen = store.counter(Opts::new("seen", "Help")).unwrap();
    let histogram = store
        .histogram(HistogramOpts::new("histogram", "Help").buckets(vec![10.0]))
        .unwrap();
    let collector = store.collector().unwrap();
    let failures = Arc::new(std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (counters, histogram, seen) = (counters.clone(), histogram.clone(), seen.clone());
            scope.spawn(move || {
                for index in 0..TIMES {
                    counters
                        .with_label_values(&[(index % 300 + thread).to_string()])
                        .inc();
                    histogram.observe((index % 20) as f64);
                    seen.inc();
                }
            });
        }
        for _ in 0..2 {
            let (collector, seen, failures) =
                (collector.clone(), seen.clone(), Arc::clone(&failures));
            scope.spawn(move || {
                while seen.get() < (THREADS * TIMES) as f64 {
                    let before = seen.get();
                    let mut text = String::new();
                    collector.encode_text(&mut text).unwrap();
                    let count = value(&text, "histogram_count");
                    if value(&text, "seen_total") < before
                        || value(&text, "histogram_bucket{le=\"+Inf\"}") != count
                        || value(&text, "histogram_bucket{le=\"10.0\"}") > count
                    {
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
    let text = scrape(directory.path());
    let all: f64 = samples(&text)
        .iter()
        .filter(|(name, _)| name.starts_with("counters_total"))
        .map(|(_, value)| value.parse::<f64>().unwrap())
        .sum();
    assert_eq!(all, (THREADS * TIMES) as f64);
    assert_eq!(value(&text, "histogram_count"), (THREADS * TIMES) as f64);
    assert_eq!(
        value(&text, "histogram_sum"),
        (THREADS * TIMES) as f64 * 9.5
    );
}

fn is_own(name: &str) -> bool {
    name.starts_with("multiprocess_")
}

#[test]
fn a_sum_does_not_change_when_another_process_takes_an_identifier() {
    let directory = Temporary::new();
    let open = || Store::open(directory.path()).unwrap();
    let counter = |store: &Store| store.counter(Opts::new("c", "Help")).unwrap();
    let mut stores = [open(), open(), open()];
    // 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    for (store, amount) in stores.iter().zip([0.1, 0.2, 0.3]) {
        counter(store).inc_by(amount);
    }
    let before = value(&scrape(directory.path()), "c_total");
    for index in [0, 2, 1] {
        // The identifier is free in between.
        let other = std::mem::replace(&mut stores[index], open());
        drop(other);
        let fourth = std::mem::replace(&mut stores[index], open());
        drop(fourth);
        counter(&stores[index]).inc_by(0.0);
        let after = value(&scrape(directory.path()), "c_total");
        assert_eq!(after.to_bits(), before.to_bits(), "{after} after {before}");
    }
}
