//! OpenTelemetry instruments that count in the store.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    metrics::{Meter, MeterProvider},
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use prometheus::Opts;
use prometheus_multiprocess::{Store, StoreMeterProvider};

use crate::support::{Peer, Temporary, eventually, exemplar, openmetrics, samples, scrape, value};

/// A store in a directory of its own, and a meter of it.
fn meter() -> (Temporary, Store, Meter) {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let meter = StoreMeterProvider::new(&store).meter("test");
    (directory, store, meter)
}

#[test]
fn every_measurement_counts_over_workers_that_are_killed_and_replaced() {
    let directory = Temporary::new();
    let worker = || Peer::example("otel_worker", directory.path());
    let mut workers: Vec<Peer> = (0..3).map(|_| worker()).collect();
    for worker in &mut workers {
        worker.send("count 4 2500");
    }
    for worker in &mut workers {
        assert_eq!(worker.answer(), "ok");
        worker.tell("active 2");
        worker.tell("total 10");
    }
    workers.remove(0).kill();
    let mut replacement = worker();
    replacement.tell("count 4 2500");
    replacement.tell("active 1");
    // Its own total, which begins anew.
    replacement.tell("total 4");
    replacement.tell("total 5");
    let text = scrape(directory.path());
    let shard = |shard: u32, last: bool| {
        let labels = format!("{{job_kind=\"mail\",job_last=\"{last}\",job_shard=\"{shard}\"}}");
        value(&text, &format!("jobs_total{labels}"))
    };
    for number in 0..9 {
        assert_eq!(shard(number, false), 4000.0, "{text}");
    }
    assert_eq!((shard(9, false), shard(9, true)), (3984.0, 16.0), "{text}");
    assert_eq!(value(&text, "active"), 5.0, "{text}");
    assert_eq!(value(&text, "seen_total"), 35.0, "{text}");
}

#[test]
fn every_instrument_shows_what_it_measured() {
    let (directory, _store, meter) = meter();
    let a = [KeyValue::new("a", "x")];
    meter
        .f64_counter("f")
        .with_description("A \"float\"")
        .build()
        .add(0.5, &a);
    let gauge = meter.i64_gauge("temperature").with_unit("Cel").build();
    gauge.record(-3, &[]);
    gauge.record(-4, &[]);
    let histogram = meter
        .f64_histogram("time")
        .with_unit("s")
        .with_boundaries(vec![1.0, 2.0]);
    let histogram = histogram.build();
    histogram.record(1.5, &[]);
    histogram.record(1.5, &a);
    let sizes = meter.u64_histogram("size").with_unit("By").build();
    sizes.record(7, &[]);
    let bare = meter
        .u64_histogram("bare")
        .with_boundaries(Vec::new())
        .build();
    bare.record(7, &[]);
    let bound = meter.u64_counter("bound").build().bind(&a);
    bound.add(2);
    bound.add(3);
    let text = scrape(directory.path());
    let expected = [
        ("f_total{a=\"x\"}", 0.5),
        ("temperature_celsius", -4.0),
        ("time_seconds_bucket{le=\"1.0\"}", 0.0),
        ("time_seconds_bucket{le=\"2.0\"}", 1.0),
        ("time_seconds_count{a=\"x\"}", 1.0),
        ("size_bytes_bucket{le=\"5.0\"}", 0.0),
        ("size_bytes_bucket{le=\"10.0\"}", 1.0),
        ("size_bytes_sum", 7.0),
        ("bare_count", 1.0),
        ("bound_total{a=\"x\"}", 5.0),
    ];
    for (sample, expected) in expected {
        assert_eq!(
            samples(&text)
                .get(sample)
                .and_then(|value| value.parse().ok()),
            Some(expected),
            "{sample}:\n{text}"
        );
    }
    assert!(
        text.contains("# HELP f_total A \"float\"\n# TYPE f_total counter\n"),
        "{text}"
    );
    assert!(!text.contains("bad_files"), "{text}");
}

#[test]
fn attributes_in_any_order_are_one_series_and_a_limit_holds() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap().with_series_limit(3);
    let meter = StoreMeterProvider::new(&store).meter("test");
    let counter = meter.u64_counter("c").build();
    let a = |value: i64| KeyValue::new("a", value);
    let b = || KeyValue::new("b", "y");
    for _ in 0..2 {
        counter.add(1, &[a(1), b()]);
        counter.add(1, &[b(), a(1)]);
        counter.add(1, &[]);
        counter.add(1, &[a(1)]);
        for value in 2..100 {
            counter.add(1, &[a(value), b()]);
        }
    }
    let text = scrape(directory.path());
    let series: Vec<_> = samples(&text)
        .into_iter()
        .filter(|(sample, _)| sample.starts_with("c_total"))
        .collect();
    let expected = [
        ("c_total", "2.0"),
        ("c_total{a=\"1\",b=\"y\"}", "4.0"),
        ("c_total{a=\"1\"}", "2.0"),
        ("c_total{otel_metric_overflow=\"true\"}", "196.0"),
    ];
    let expected = expected.map(|(sample, value)| (sample.to_owned(), value.to_owned()));
    assert_eq!(series, expected, "{text}");
}

#[test]
fn a_successor_with_other_attributes_goes_on_beside_the_series_that_are_there() {
    let directory = Temporary::new();
    for attribute in ["old", "new"] {
        let store = Store::open(directory.path()).unwrap();
        let meter = StoreMeterProvider::new(&store).meter("test");
        meter
            .u64_counter("c")
            .build()
            .add(1, &[KeyValue::new(attribute, "x")]);
        meter.u64_counter("c").build().add(1, &[]);
    }
    let text = scrape(directory.path());
    for (sample, expected) in [
        ("c_total{old=\"x\"}", 1.0),
        ("c_total{new=\"x\"}", 1.0),
        ("c_total", 2.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{text}");
    }
}

#[test]
fn instruments_of_one_name_are_one_metric_or_the_second_one_does_nothing() {
    let (directory, store, meter) = meter();
    store
        .counter(Opts::new("taken", "By the service"))
        .unwrap()
        .inc();
    meter.u64_counter("taken").build().add(5, &[]);
    meter
        .u64_counter("c")
        .with_description("One")
        .build()
        .add(1, &[]);
    meter
        .f64_counter("c")
        .with_description("Two")
        .build()
        .add(1.5, &[]);
    meter.i64_up_down_counter("c_total").build().add(7, &[]);
    meter.u64_gauge("").build().record(1, &[]);
    let text = scrape(directory.path());
    assert_eq!(value(&text, "taken_total"), 1.0, "{text}");
    assert_eq!(value(&text, "c_total"), 2.5, "{text}");
    assert!(text.contains("# HELP c_total One\n"), "{text}");
}

#[test]
fn options_show_the_resource_and_the_scope_and_set_bounds() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    let provider = StoreMeterProvider::builder(&store)
        .with_resource([
            KeyValue::new("service.name", "shop"),
            KeyValue::new("a.b", 1),
            KeyValue::new("a_b", 2),
        ])
        .with_scope_labels()
        .with_boundaries("time", vec![4.0])
        .build();
    for name in ["one", "two"] {
        let scope = InstrumentationScope::builder(name)
            .with_version("1.0")
            .build();
        let meter = provider.meter_with_scope(scope);
        meter.u64_counter("c").build().add(1, &[]);
    }
    provider
        .meter("three")
        .f64_histogram("time")
        .with_boundaries(vec![1.0])
        .build()
        .record(3.0, &[]);
    let text = scrape(directory.path());
    assert_eq!(
        value(&text, "target_info{a_b=\"1;2\",service_name=\"shop\"}"),
        1.0,
        "{text}"
    );
    for name in ["one", "two"] {
        let labels = format!("otel_scope_name=\"{name}\",otel_scope_version=\"1.0\"");
        assert_eq!(value(&text, &format!("c_total{{{labels}}}")), 1.0, "{text}");
    }
    assert_eq!(
        value(&text, "time_bucket{le=\"4.0\",otel_scope_name=\"three\"}"),
        1.0,
        "{text}"
    );
}

#[test]
fn observable_instruments_are_read_by_a_thread_also_if_one_panics() {
    let (directory, _store, meter) = {
        let directory = Temporary::new();
        let store = Store::open(directory.path()).unwrap();
        let provider =
            StoreMeterProvider::builder(&store).with_interval(std::time::Duration::from_millis(5));
        (directory, store.clone(), provider.build().meter("test"))
    };
    let number = Arc::new(AtomicU64::new(3));
    let read = |number: &Arc<AtomicU64>| {
        let number = Arc::clone(number);
        move || number.load(Relaxed)
    };
    let _bad = meter
        .u64_observable_gauge("bad")
        .with_callback(|_| panic!("a test"))
        .build();
    let total = read(&number);
    let _counter = meter
        .u64_observable_counter("c")
        .with_callback(move |c| c.observe(total(), &[]))
        .build();
    let now = read(&number);
    let _gauge = meter
        .u64_observable_gauge("g")
        .with_callback(move |g| g.observe(now(), &[]))
        .build();
    let now = read(&number);
    let _sum = meter
        .i64_observable_up_down_counter("s")
        .with_callback(move |s| s.observe(-(now() as i64), &[]))
        .build();
    let read = || {
        let text = scrape(directory.path());
        [
            value(&text, "c_total"),
            value(&text, "g"),
            value(&text, "s"),
        ]
    };
    assert_eq!(read(), [3.0, 3.0, -3.0]);
    number.store(5, Relaxed);
    eventually("an observation", || read() == [5.0, 5.0, -5.0]);
}

/// A context with a span whose ids have these bytes.
fn context(byte: u8, flags: TraceFlags) -> Context {
    let trace = TraceId::from_bytes([byte; 16]);
    let span = SpanId::from_bytes([byte; 8]);
    let span = SpanContext::new(trace, span, flags, true, TraceState::default());
    Context::new().with_remote_span_context(span)
}

#[test]
fn a_measurement_within_a_sampled_span_has_it_as_exemplar() {
    let (directory, store, meter) = meter();
    let counter = meter.u64_counter("counter").build();
    let bound = counter.bind(&[KeyValue::new("a", "x")]);
    let histogram = meter
        .f64_histogram("time")
        .with_boundaries(vec![1.0])
        .build();
    let up_down = meter.i64_up_down_counter("active").build();
    let measure = || {
        counter.add(2, &[]);
        bound.add(3);
        histogram.record(0.5, &[]);
        up_down.add(1, &[]);
    };
    let all = |text: &str| {
        let samples = [
            "counter_total",
            "counter_total{a=\"x\"}",
            "time_bucket{le=\"1.0\"}",
        ];
        samples.map(|sample| exemplar(text, sample))
    };
    measure();
    {
        let _inside = context(17, TraceFlags::default()).attach();
        measure();
    }
    assert_eq!(all(&openmetrics(directory.path())), [None; 3]);
    {
        let _inside = context(18, TraceFlags::SAMPLED).attach();
        measure();
        let off = StoreMeterProvider::builder(&store)
            .with_exemplars(false)
            .build();
        off.meter("off").u64_counter("off").build().add(1, &[]);
    }
    measure();
    let text = openmetrics(directory.path());
    assert_eq!(
        all(&text),
        [Some((2.0, 18)), Some((3.0, 18)), Some((0.5, 18))]
    );
    assert_eq!(exemplar(&text, "off_total"), None);
    assert_eq!(exemplar(&text, "active"), None);
}
