//! What would break the text format is found, and named.

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounter, Opts};

use super::*;

const COUNTER: MetricType = MetricType::COUNTER;
const GAUGE: MetricType = MetricType::GAUGE;

/// Makes the checks of the start on a registry with these instruments, and with
/// what is registered directly.
fn start(
    instrument: impl FnOnce(&Meter),
    expected: &[(&str, MetricType)],
    register: impl FnOnce(&Registry) -> prometheus::Result<()>,
) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    instrument(&provider.meter("test"));
    let shown = registry.gather();
    register(&registry)?;
    instruments(&shown, expected)?;
    reserve_names(expected, &registry)?;
    families(&registry.gather())?;
    Ok(registry)
}

fn counter(meter: &Meter, name: &'static str, description: &'static str) {
    let counter = meter.u64_counter(name).with_description(description);
    counter.build().add(0, &[]);
}

fn nothing(_: &Registry) -> prometheus::Result<()> {
    Ok(())
}

#[track_caller]
fn assert_refused<T>(result: anyhow::Result<T>, words: &[&str]) {
    let error = match result {
        Ok(_) => panic!("it was not refused"),
        Err(error) => format!("{error:#}"),
    };
    for word in words {
        assert!(error.contains(word), "no {word:?} in: {error}");
    }
}

#[test]
fn a_sound_registry_passes_and_its_names_are_taken() {
    let two = |meter: &Meter| {
        counter(meter, "jobs", "Jobs");
        meter
            .f64_gauge("heat")
            .with_unit("Cel")
            .build()
            .record(0.0, &[]);
    };
    let expected = [("jobs_total", COUNTER), ("heat_celsius", GAUGE)];
    let registry = start(two, &expected, |registry| {
        registry.register(Box::new(IntCounter::new("others_total", "Others")?))
    })
    .unwrap();
    let late = IntCounter::new("jobs_total", "Jobs").unwrap();
    assert!(registry.register(Box::new(late)).is_err());
}

#[test]
fn two_instruments_that_differ_in_their_description_are_refused() {
    let two = |meter: &Meter| {
        counter(meter, "jobs", "Jobs");
        counter(meter, "jobs", "Other jobs");
    };
    let result = start(two, &[("jobs_total", COUNTER)], nothing);
    assert_refused(result, &["jobs_total", "description"]);
}

#[test]
fn two_instruments_that_differ_in_their_type_are_refused() {
    let two = |meter: &Meter| {
        counter(meter, "jobs", "Jobs");
        let gauge = meter.f64_gauge("jobs.total").with_description("Jobs");
        gauge.build().record(1.0, &[]);
    };
    let expected = [("jobs_total", COUNTER), ("jobs_total", GAUGE)];
    assert_refused(start(two, &expected, nothing), &["jobs_total", "two"]);
    let one = |meter: &Meter| counter(meter, "jobs", "Jobs");
    let result = start(one, &[("jobs_total", GAUGE)], nothing);
    assert_refused(result, &["jobs_total", "gauge", "counter"]);
}

#[test]
fn an_instrument_that_the_sdk_refuses_or_that_nobody_expects_is_told() {
    let bad = |meter: &Meter| counter(meter, "bad name!", "Bad");
    let result = start(bad, &[("bad_name_total", COUNTER)], nothing);
    assert_refused(result, &["bad_name_total"]);
    let extra = |meter: &Meter| counter(meter, "jobs", "Jobs");
    assert_refused(start(extra, &[], nothing), &["jobs_total", "list"]);
}

#[test]
fn a_metric_with_the_name_of_an_instrument_is_refused_before_it_has_a_series() {
    let jobs = |meter: &Meter| counter(meter, "jobs", "Jobs");
    let expected = [("jobs_total", COUNTER)];
    for labels in [&[][..], &["kind"]] {
        let gauge = |registry: &Registry| {
            let gauge = GaugeVec::new(Opts::new("jobs_total", "Jobs"), labels)?;
            registry.register(Box::new(gauge))
        };
        assert_refused(start(jobs, &expected, gauge), &["jobs_total", "rename"]);
    }
}

#[test]
fn a_histogram_has_its_names_before_its_first_measurement() {
    let histogram = |meter: &Meter| drop(meter.f64_histogram("jobs").build());
    let expected = [("jobs", MetricType::HISTOGRAM)];
    start(histogram, &expected, nothing).unwrap();
    for name in ["jobs", "jobs_sum", "target_info"] {
        let other =
            |registry: &Registry| registry.register(Box::new(IntCounter::new(name, "Others")?));
        assert_refused(start(histogram, &expected, other), &[name, "rename"]);
    }
}

#[test]
fn a_name_that_a_histogram_needs_for_its_parts_is_refused() {
    let histogram = |registry: &Registry| {
        let histogram = HistogramVec::new(HistogramOpts::new("jobs", "Jobs"), &["kind"])?;
        histogram.with_label_values(&["a"]).observe(1.0);
        registry.register(Box::new(histogram))
    };
    let count = |meter: &Meter| meter.f64_gauge("jobs.count").build().record(1.0, &[]);
    let result = start(count, &[("jobs_count", GAUGE)], histogram);
    assert_refused(result, &["jobs_count"]);
}

#[test]
fn attributes_that_are_no_labels_are_refused() {
    let with = |name: &'static str| {
        move |meter: &Meter| {
            let histogram = meter.f64_histogram("jobs").build();
            histogram.record(1.0, &[KeyValue::new(name, "1")]);
        }
    };
    let expected = [("jobs", MetricType::HISTOGRAM)];
    for (name, label) in [("a:b", "a:b"), ("9a", "9a"), ("le", "le"), ("", "")] {
        let result = start(with(name), &expected, nothing);
        assert_refused(result, &["jobs", &format!("{label:?}")]);
    }
    start(with("a.b-c"), &expected, nothing).unwrap();
}

#[test]
fn names_are_made_as_the_readme_says() {
    let all = |meter: &Meter| {
        counter(meter, "num_requests", "a");
        counter(meter, "jobs.total", "b");
        counter(meter, "bad name!", "c");
        let duration = meter.f64_histogram("job.duration").with_unit("s");
        duration.build().record(1.0, &[]);
        let doubled = meter.f64_histogram("job_seconds").with_unit("s");
        doubled.build().record(1.0, &[]);
        let free = meter.f64_gauge("disk.free").with_unit("By");
        free.build().record(1.0, &[]);
        let jobs = meter.i64_up_down_counter("jobs").with_unit("1");
        jobs.build().add(1, &[]);
    };
    let expected = [
        ("disk_free_bytes", GAUGE),
        ("job_duration_seconds", MetricType::HISTOGRAM),
        ("job_seconds_seconds", MetricType::HISTOGRAM),
        ("jobs_ratio", GAUGE),
        ("jobs_total_total", COUNTER),
        ("num_requests_total", COUNTER),
    ];
    start(all, &expected, nothing).unwrap();
}
