//! The sum over all processes as values.

use prometheus::{HistogramOpts, Opts};
use prometheus_multiprocess::{
    CollectedFamily, CollectedValue, GaugeMode, GaugeOpts, MetricKind, MultiProcessCollector, Store,
};

use crate::support::{Temporary, openmetrics, value};

#[test]
fn values_are_those_of_a_scrape() {
    let directory = Temporary::new();
    let stores = [(); 2].map(|()| Store::open(directory.path()).unwrap());
    for store in &stores {
        let counter = store
            .counter_vec(Opts::new("counter", "Help"), &["b", "a"])
            .unwrap();
        counter.with_label_values(&["x \"y\"\n", "é"]).inc_by(2.0);
        counter.with_label_values(&["", ""]).inc();
        let opts = GaugeOpts::new("gauge", "").mode(GaugeMode::Sum);
        store.gauge(opts).unwrap().set(-1.5);
        let opts = GaugeOpts::new("unset", "").mode(GaugeMode::MostRecent);
        store.gauge(opts).unwrap();
        let opts = HistogramOpts::new("histogram", "").buckets(vec![1.0, 2.0]);
        let histogram = store.histogram(opts).unwrap();
        histogram.observe(1.5);
        histogram.observe(5.0);
        store
            .summary(Opts::new("summary", ""))
            .unwrap()
            .observe(3.0);
    }
    let families = MultiProcessCollector::new(directory.path())
        .unwrap()
        .collect();
    let text = openmetrics(directory.path());
    let found = |name: &str| -> &CollectedFamily {
        families.iter().find(|family| family.name == name).unwrap()
    };
    let counter = found("counter");
    assert_eq!(
        (&*counter.help, counter.kind),
        ("Help", MetricKind::Counter)
    );
    let labels = [("a", "é"), ("b", "x \"y\"\n")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(counter.series[1].labels, labels);
    assert_eq!(counter.series[1].value, CollectedValue::Number(4.0));
    let created = value(&text, "counter_created{a=\"\",b=\"\"}");
    assert_eq!(counter.series[0].start, Some(created));
    let gauge = &found("gauge").series[0];
    assert_eq!(
        (&gauge.value, gauge.start),
        (&CollectedValue::Number(-3.0), None)
    );
    let buckets = vec![(1.0, 0.0), (2.0, 2.0), (f64::INFINITY, 2.0)];
    let expected = CollectedValue::Histogram { buckets, sum: 13.0 };
    let histogram = &found("histogram").series[0];
    assert_eq!(histogram.value, expected);
    assert_eq!(histogram.start, Some(value(&text, "histogram_created")));
    let expected = CollectedValue::Summary {
        count: 2.0,
        sum: 6.0,
    };
    assert_eq!(found("summary").series[0].value, expected);
    assert!(
        !families.iter().any(|family| family.name == "unset"),
        "{families:?}"
    );
}
