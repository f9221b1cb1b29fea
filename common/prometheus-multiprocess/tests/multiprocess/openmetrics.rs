//! What Python's parser of OpenMetrics reads in our answers.

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{GaugeMode, GaugeOpts, MultiProcessCollector, SpanIds, Store};
use serde_json::{Value, json};

use crate::support::{Peer, Temporary, answer, python};

/// What Python reads in the answer to a scraper that accepts this.
fn parsed(python: &mut Peer, directory: &Temporary, accept: &str) -> Value {
    let collector = MultiProcessCollector::new(directory.path()).unwrap();
    let text = answer(&collector, accept);
    let answer = python.ask(&json!({ "do": "parse", "text": text }).to_string());
    let mut families: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{text}"));
    let is_ours = |family: &Value| {
        let name = family[0].as_str().unwrap();
        !name.starts_with("multiprocess_") && !name.starts_with("process_")
    };
    families.as_array_mut().unwrap().retain(is_ours);
    families
}

#[test]
fn python_reads_every_kind_of_metric() {
    let Some(mut python) = python() else {
        return;
    };
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let counter = Opts::new("orders", "Say \"orders\"\n\\");
    let counter = store.counter_vec(counter, &["kind"]).unwrap();
    counter.with_label_values(&["a \"b\"\n\\,{}"]).inc_by(2e6);
    for mode in GaugeMode::ALL {
        let name = format!("gauge_{}", mode.as_str());
        store
            .gauge(GaugeOpts::new(name, "").mode(mode))
            .unwrap()
            .set(-0.5);
    }
    let opts = HistogramOpts::new("time", "Time").buckets(vec![1.0, 2.5e6]);
    let histogram = store.histogram_vec(opts, &["a", "z"]).unwrap();
    let span = SpanIds {
        trace_id: [0xab; 16],
        span_id: [0xcd; 8],
    };
    let histogram = histogram.with_label_values(&["", "x"]);
    histogram.observe_with_exemplar(2.0, span);
    let opts = HistogramOpts::new("change", "Change").buckets(vec![-1.0, 1.0]);
    store.histogram(opts).unwrap().observe(-2.0);
    store
        .summary(Opts::new("size", "Size"))
        .unwrap()
        .observe(5.0);

    let families = parsed(
        &mut python,
        &directory,
        "application/openmetrics-text;version=1.0.0",
    );
    let family = |name: &str| {
        let families = families.as_array().unwrap().iter();
        let found: Vec<&Value> = families.filter(|family| family[0] == name).collect();
        assert_eq!(found.len(), 1, "{name} in {found:?}");
        let mut family = found[0].clone();
        // All but gauges have a start time, which is never the same.
        let samples = family[2].as_array_mut().unwrap();
        let count = samples.len();
        samples.retain(|sample| sample[0] != format!("{name}_created"));
        let starts = count - samples.len();
        assert_eq!(starts, usize::from(family[1] != "gauge"), "{family}");
        family
    };
    let labels = json!({ "kind": "a \"b\"\n\\,{}" });
    let orders = json!(["orders", "counter", [["orders_total", labels, 2e6]]]);
    assert_eq!(family("orders"), orders);
    for mode in GaugeMode::ALL {
        let family = family(&format!("gauge_{}", mode.as_str()));
        assert_eq!(
            (&family[1], &family[2][0][2]),
            (&json!("gauge"), &json!(-0.5)),
            "{family}"
        );
    }
    let bucket =
        |le: &str, count: f64| json!(["time_bucket", { "a": "", "le": le, "z": "x" }, count]);
    let labels = json!({ "a": "", "z": "x" });
    let time = json!([
        "time",
        "histogram",
        [
            bucket("1.0", 0.0),
            [
                "time_bucket",
                { "a": "", "le": "2.5e+06", "z": "x" },
                1.0,
                [{ "trace_id": "ab".repeat(16), "span_id": "cd".repeat(8) }, 2.0]
            ],
            bucket("+Inf", 1.0),
            ["time_sum", labels, 2.0],
            ["time_count", labels, 1.0],
        ]
    ]);
    assert_eq!(family("time"), time);
    assert_eq!(family("change")[2].as_array().unwrap().len(), 3);
    let size = json!([
        "size",
        "summary",
        [["size_sum", {}, 5.0], ["size_count", {}, 1.0]]
    ]);
    assert_eq!(family("size"), size);
    assert_eq!(families.as_array().unwrap().len(), 14, "{families}");
}

#[test]
fn python_reads_the_utf8_names_that_python_wrote_in_each_escaping() {
    let Some(mut python) = python() else {
        return;
    };
    let directory = Temporary::new();
    let metric = |name: &str, value: &str| {
        let series = json!([[["x"], [value]]]);
        json!({
            "type": "counter", "name": name, "help": "h", "labels": ["url.path"], "series": series,
        })
    };
    let metrics = json!([
        metric("http.hits", "1"),
        metric("http_hits", "2"),
        metric("größe \"x\"", "3")
    ]);
    let workers = json!([{ "identifier": "7", "metrics": metrics }]);
    let write = json!({ "do": "write", "directory": directory.path(), "workers": workers });
    python.tell(&write.to_string());
    for (escaping, label, names) in [
        (
            "allow-utf-8",
            "url.path",
            ["größe \"x\"", "http.hits", "http_hits"],
        ),
        (
            "underscores",
            "url_path",
            ["gr__e__x_", "U__http_2e_hits", "http_hits"],
        ),
        (
            "dots",
            "url_dot_path",
            ["gr____e____x__", "http_dot_hits", "http__hits"],
        ),
        (
            "values",
            "U__url_2e_path",
            [
                "U__gr_f6__df_e_20__22_x_22_",
                "U__http_2e_hits",
                "http_hits",
            ],
        ),
    ] {
        let accept = format!("application/openmetrics-text;version=1.0.0;escaping={escaping}");
        let families = parsed(&mut python, &directory, &accept);
        let [big, dots, plain] = names;
        for (name, value) in [(big, 3.0), (dots, 1.0), (plain, 2.0)] {
            let sample = json!([format!("{name}_total"), { label: "x" }, value]);
            let expected = json!([name, "counter", [sample]]);
            let families = families.as_array().unwrap();
            assert!(
                families.contains(&expected),
                "{escaping}: {expected} in {families:?}"
            );
        }
    }
}
