//! Both directions, against Python's real client: what one writes, the other reads.

use std::{collections::BTreeMap, fs, path::Path};

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{Directory, GaugeMode, GaugeOpts, SpanIds, Store};
use serde_json::{Value, json};

use crate::support::{
    Peer, Random, Temporary, eventually, names, openmetrics, python, samples, scrape, value,
};

const SPAN: SpanIds = SpanIds {
    trace_id: [1; 16],
    span_id: [2; 8],
};

/// A metric as both sides are told to write it.
#[derive(Debug, Clone)]
struct Metric {
    kind: &'static str,
    mode: GaugeMode,
    name: String,
    help: String,
    labels: Vec<String>,
    bounds: Vec<f64>,
    series: Vec<(Vec<String>, Vec<f64>)>,
}

const KINDS: [&str; 4] = ["counter", "gauge", "histogram", "summary"];
const BOUNDS: [f64; 9] = [-1.0, 0.0, 1e-5, 0.005, 0.25, 1.0, 75.0, 1e6, 1.5e10];

#[test]
fn python_and_we_write_and_read_the_same_on_random_metrics() {
    let Some(mut python) = python() else { return };
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let metrics: Vec<Metric> = (0..1 + random.below(8))
            .map(|number| metric(&mut random, number))
            .collect();
        let workers: Vec<Vec<Metric>> = (0..1 + random.below(3))
            .map(|_| values(&mut random, &metrics))
            .collect();

        let (theirs, ours) = (Temporary::new(), Temporary::new());
        write_as_python(&mut python, theirs.path(), &workers);
        let stores = write_as_we(ours.path(), &workers);

        let (expected, got) = (
            lines_of_python(&mut python, theirs.path()),
            lines(&scrape(theirs.path())),
        );
        same_lines(&got, &expected, &format!("seed {seed}: what Python wrote"));
        let (theirs_of_ours, ours_of_ours) = (
            lines_of_python(&mut python, ours.path()),
            lines(&scrape(ours.path())),
        );
        same_lines(
            &ours_of_ours,
            &theirs_of_ours,
            &format!("seed {seed}: what we wrote"),
        );
        same_lines(
            &ours_of_ours,
            &expected,
            &format!("seed {seed}: both writers"),
        );
        compare_files(theirs.path(), ours.path(), seed);
        compare_formats(ours.path(), &workers[0], seed);
        drop(stores);
    }
}

/// Names and shape of a metric: the same in all workers.
fn metric(random: &mut Random, number: usize) -> Metric {
    let kind = *random.one_of(&KINDS);
    let names = ["a", "b", "le_", "zone", "A", "_x", "label_with_a_long_name"];
    let labels = names
        .iter()
        .filter(|_| random.below(3) == 0)
        .map(|&name| name.to_owned())
        .collect();
    let suffix = if kind == "counter" && random.below(2) == 0 {
        "_total"
    } else {
        ""
    };
    let mut bounds: Vec<f64> = BOUNDS
        .iter()
        .copied()
        .filter(|_| random.below(2) == 0)
        .collect();
    if bounds.is_empty() {
        bounds.push(1.0);
    }
    Metric {
        kind,
        mode: *random.one_of(&GaugeMode::ALL),
        name: format!("metric:{number}{suffix}"),
        help: format!("Help {}", text(random)),
        labels,
        bounds,
        series: Vec::new(),
    }
}

/// The same metrics with values of one worker.
fn values(random: &mut Random, metrics: &[Metric]) -> Vec<Metric> {
    let mut metrics = metrics.to_vec();
    for metric in &mut metrics {
        let series = if metric.labels.is_empty() {
            1
        } else {
            random.below(5)
        };
        let mut seen = BTreeMap::new();
        for _ in 0..series {
            let values: Vec<String> = metric.labels.iter().map(|_| text(random)).collect();
            let numbers = (0..random.below(6))
                .map(|_| number(random, metric))
                .collect();
            seen.insert(values, numbers);
        }
        metric.series = seen.into_iter().collect();
    }
    metrics
}

/// Label values and help texts as hostile as they come.
fn text(random: &mut Random) -> String {
    let long = "x".repeat(10_000);
    let parts = [
        "",
        "plain",
        "\"",
        "\\",
        "\n",
        "\\n",
        "é",
        "\u{1f600}",
        "\u{7f}",
        "\u{0}",
        "\u{85}\u{2028}",
        "{}=,",
        " ",
        "日本語",
        "%s",
        "\r\t\u{8}\u{c}",
        "/",
        "\u{10ffff}",
        "1.0",
        &long,
    ];
    (0..random.below(4))
        .map(|_| *random.one_of(&parts))
        .collect()
}

/// Numbers whose sum does not depend on the order, for kinds that add up; any for others.
fn number(random: &mut Random, metric: &Metric) -> f64 {
    let exact = random.below(1 << 22) as f64 / 4.0;
    let adds_up = !matches!(metric.kind, "gauge")
        || matches!(metric.mode, GaugeMode::Sum | GaugeMode::LiveSum);
    if metric.kind == "counter" {
        exact
    } else if adds_up {
        if random.below(2) == 0 {
            exact
        } else {
            -exact / 1024.0
        }
    } else {
        let any = f64::from_bits(random.next().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Python keeps the NaN that it meets first, in an order that is not defined.
        let any = if any.is_nan() { 1e-7 } else { any };
        *random.one_of(&[
            exact,
            any,
            -0.0,
            1e16,
            123_456_789.123,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ])
    }
}

fn identifier(worker: usize) -> String {
    format!("worker-{worker}")
}

fn write_as_python(python: &mut Peer, directory: &Path, workers: &[Vec<Metric>]) {
    let workers: Vec<Value> = workers
        .iter()
        .enumerate()
        .map(|(worker, metrics)| {
            let metrics: Vec<Value> = metrics
                .iter()
                .map(|metric| {
                    let series: Vec<Value> = metric
                        .series
                        .iter()
                        .map(|(values, numbers)| {
                            let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:e}")).collect();
                            json!([values, numbers])
                        })
                        .collect();
                    let bounds: Vec<String> = metric.bounds.iter().map(f64::to_string).collect();
                    json!({
                        "type": metric.kind, "name": metric.name, "help": metric.help, "labels": metric.labels,
                        "mode": metric.mode.as_str(), "bounds": bounds, "series": series,
                    })
                })
                .collect();
            json!({"identifier": identifier(worker), "metrics": metrics})
        })
        .collect();
    python.tell(&json!({"do": "write", "directory": directory, "workers": workers}).to_string());
}

/// Keep the stores: live gauges of a process that ended are not shown.
fn write_as_we(directory: &Path, workers: &[Vec<Metric>]) -> Vec<Store> {
    // All at once, so that each takes an identifier of its own.
    let stores: Vec<Store> = workers
        .iter()
        .map(|_| Store::open(directory).unwrap())
        .collect();
    for (store, metrics) in stores.iter().zip(workers) {
        for metric in metrics {
            write_metric(store, metric);
        }
    }
    stores
}

fn write_metric(store: &Store, metric: &Metric) {
    let opts = Opts::new(&metric.name, &metric.help);
    let labels: Vec<&str> = metric.labels.iter().map(String::as_str).collect();
    for (values, numbers) in &metric.series {
        match metric.kind {
            "counter" => {
                let counters = store.counter_vec(opts.clone(), &labels).unwrap();
                numbers.iter().for_each(|&number| {
                    counters
                        .with_label_values(values)
                        .inc_by_with_exemplar(number, SPAN)
                });
                counters.with_label_values(values);
            }
            "gauge" => {
                let opts = GaugeOpts::from(opts.clone()).mode(metric.mode);
                let gauges = store.gauge_vec(opts, &labels).unwrap();
                numbers
                    .iter()
                    .for_each(|&number| gauges.with_label_values(values).set(number));
                gauges.with_label_values(values);
            }
            "histogram" => {
                let opts = HistogramOpts::from(opts.clone()).buckets(metric.bounds.clone());
                let histograms = store.histogram_vec(opts, &labels).unwrap();
                numbers.iter().for_each(|&number| {
                    histograms
                        .with_label_values(values)
                        .observe_with_exemplar(number, SPAN)
                });
                histograms.with_label_values(values);
            }
            _ => {
                let summaries = store.summary_vec(opts.clone(), &labels).unwrap();
                numbers
                    .iter()
                    .for_each(|&number| summaries.with_label_values(values).observe(number));
                summaries.with_label_values(values);
            }
        }
    }
}

/// The lines of Python's text, without those that only we have.
fn lines_of_python(python: &mut Peer, directory: &Path) -> Vec<String> {
    let answer = python.ask(&json!({"do": "scrape", "directory": directory}).to_string());
    lines(&serde_json::from_str::<String>(&answer).unwrap())
}

/// Shows the first difference: the lines are long.
fn same_lines(got: &[String], expected: &[String], what: &str) {
    let short = |line: Option<&String>| line.map(|line| line.chars().take(300).collect::<String>());
    for index in 0..got.len().max(expected.len()) {
        let (got, expected) = (got.get(index), expected.get(index));
        assert!(
            got == expected,
            "{what}: {:?} instead of {:?}",
            short(got),
            short(expected)
        );
    }
}

fn lines(text: &str) -> Vec<String> {
    let own = |line: &str| {
        let name = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        name.starts_with("multiprocess_")
    };
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| !own(line))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// OpenMetrics has the samples of the text format, without the sum and count of a histogram with a
/// negative bound, and exemplars and start times besides.
fn compare_formats(ours: &Path, metrics: &[Metric], seed: u64) {
    let has_sum = |line: &&String| {
        let mut without = metrics.iter().filter(|metric| metric.kind == "histogram");
        !without.any(|metric| {
            let rest = line.strip_prefix(&metric.name);
            let is_it = |rest: &str| ["_sum", "_count"].iter().any(|name| rest.starts_with(name));
            metric.bounds[0] < 0.0 && rest.is_some_and(is_it)
        })
    };
    let is_sample = |line: &&String| !line.starts_with('#');
    let expected = lines(&scrape(ours));
    let expected: Vec<_> = expected.iter().filter(is_sample).filter(has_sum).collect();
    let text = openmetrics(ours);
    let mut got: Vec<_> = lines(&text)
        .into_iter()
        .filter(|line| {
            is_sample(&line) && !line.split(['{', ' ']).next().unwrap().ends_with("_created")
        })
        .map(|line| line.split(" # {trace_id=\"").next().unwrap().to_owned())
        .collect();
    got.sort();
    assert!(got.iter().eq(expected), "seed {seed}");
    let updates = |kind| {
        metrics.iter().any(|metric| {
            metric.kind == kind && metric.series.iter().any(|(_, numbers)| !numbers.is_empty())
        })
    };
    if updates("counter") || updates("histogram") {
        assert!(text.contains(" # {trace_id=\""), "seed {seed}");
    }
}

/// Both wrote the same entries in the same order, padding included.
fn compare_files(theirs: &Path, ours: &Path, seed: u64) {
    for name in names(theirs) {
        let (theirs, mut ours) = (
            fs::read(theirs.join(&name)).unwrap(),
            fs::read(ours.join(&name)).unwrap(),
        );
        let used = |bytes: &[u8]| i32::from_ne_bytes(bytes[..4].try_into().unwrap()) as usize;
        if name.starts_with("counter_") {
            // The first entries are the store's own counter.
            let first = ours
                .windows(11)
                .rposition(|bytes| bytes == b"[\"multiproc")
                .unwrap();
            let length = i32::from_ne_bytes(ours[first - 4..first].try_into().unwrap()) as usize;
            let end = first - 4 + (4 + length) / 8 * 8 + 8 + 16;
            let rest = (used(&ours) - (end - 8)) as i32;
            ours.drain(8..end);
            ours[..4].copy_from_slice(&rest.to_ne_bytes());
        }
        assert_eq!(used(&ours), used(&theirs), "seed {seed}: {name}");
        let (ours, theirs) = (&ours[..used(&ours)], &theirs[..used(&theirs)]);
        if !name.starts_with("gauge_") {
            // Our start times, where Python has a time that it never reads.
            assert!(without_times(ours) == theirs, "seed {seed}: {name}");
        } else if name.contains("mostrecent") {
            assert_eq!(
                without_times(ours),
                without_times(theirs),
                "seed {seed}: {name}"
            );
        } else {
            assert!(ours == theirs, "seed {seed}: {name}");
        }
    }
}

/// The bytes with each time of an entry, which is never the same, set to 0.
fn without_times(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 8;
    while at < bytes.len() {
        let length = i32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        at += (4 + length) / 8 * 8 + 8 + 16;
        bytes[at - 8..at].fill(0);
    }
    bytes
}

#[test]
fn python_no_longer_sees_live_gauges_of_a_killed_process_once_the_master_swept() {
    let Some(mut python) = python() else { return };
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let mut workers: Vec<Peer> = (0..2).map(|_| Peer::worker(parent.path())).collect();
    for worker in &mut workers {
        worker.tell("gauge in_progress livesum 2");
        worker.tell("counter done 3");
    }
    workers.remove(0).kill();
    let text = |lines: Vec<String>| lines.join("\n");
    assert_eq!(value(&scrape(parent.path()), "in_progress"), 2.0);
    assert_eq!(
        value(
            &text(lines_of_python(&mut python, parent.path())),
            "in_progress"
        ),
        4.0
    );
    directory.sweep().unwrap();
    let swept = text(lines_of_python(&mut python, parent.path()));
    assert_eq!(value(&swept, "in_progress"), 2.0);
    assert_eq!(value(&swept, "done_total"), 6.0);
}

#[test]
fn python_and_we_write_to_one_directory_at_the_same_time() {
    let (Some(mut writer), Some(mut reader)) = (python(), python()) else {
        return;
    };
    let directory = Temporary::new();
    let mut ours = Peer::worker(directory.path());
    let load = json!({
        "do": "load", "directory": directory.path(), "identifier": 4711, "name": "load", "times": 20_000,
    });
    writer.send(&load.to_string());
    ours.send("load load 2 20000");
    let collector = prometheus_multiprocess::MultiProcessCollector::new(directory.path()).unwrap();
    let mut before = 0.0;
    eventually("the load", || {
        let mut text = String::new();
        collector.encode_text(&mut text).unwrap();
        let now = value(&text, "load_total");
        assert!(now >= before, "the sum went from {before} to {now}");
        before = now;
        now == 60_000.0
    });
    assert_eq!(
        (writer.answer(), ours.answer()),
        ("ok".to_owned(), "ok".to_owned())
    );
    let theirs = lines_of_python(&mut reader, directory.path());
    assert_eq!(lines(&scrape(directory.path())), theirs);
    assert_eq!(
        samples(&theirs.join("\n"))["load_by_value_total{value=\"7\"}"],
        "600.0"
    );
}

#[test]
fn a_flask_application_that_starts_beside_us_costs_no_count() {
    let Some(mut python) = python() else { return };
    let parent = Temporary::new();
    let directory = Directory::prepare(Some(parent.path())).unwrap();
    let mut ours = Peer::worker(parent.path());
    for round in 1..=20_u32 {
        ours.tell("counter requests 1");
        python.tell(&json!({"do": "wipe", "directory": parent.path()}).to_string());
        ours.tell("counter requests 1");
        directory.sweep().unwrap();
        let theirs = lines_of_python(&mut python, parent.path()).join("\n");
        assert_eq!(
            value(&theirs, "requests_total"),
            f64::from(2 * round),
            "{theirs}"
        );
    }
    assert_eq!(value(&scrape(parent.path()), "requests_total"), 40.0);
}
