//! Streams over restarts, repetitions and limits.

use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::*;
use crate::{instance::Instances, value::Number};

fn counter(start: u64, time: u64, value: i64) -> Point {
    Point {
        attributes: Vec::new(),
        types: String::new(),
        start,
        time,
        value: Value::Number(Number::Int(value)),
        kind: Kind::Sum,
        nature: Nature::Counter,
        example: None,
    }
}

fn total_after(points: Vec<Point>) -> i64 {
    let (instance, _) = Instances::default().intern(None);
    let mut series = Series {
        streams: BTreeMap::new(),
        retired: None,
    };
    for point in points {
        series.apply(&instance, point);
    }
    let now = Instant::now();
    match series.living(Kind::Sum, &Activity::default(), now).sum() {
        Some(Value::Number(Number::Int(value))) => value,
        other => panic!("an integer was expected: {other:?}"),
    }
}

#[test]
fn a_cumulative_stream_counts_its_latest_value() {
    assert_eq!(total_after(vec![counter(1, 2, 5), counter(1, 3, 9)]), 9);
}

#[test]
fn a_new_start_time_adds_to_the_previous_total() {
    assert_eq!(total_after(vec![counter(1, 2, 5), counter(3, 4, 9)]), 14);
}

#[test]
fn a_lower_value_without_a_start_time_adds_to_the_previous_total() {
    assert_eq!(total_after(vec![counter(0, 2, 5), counter(0, 4, 2)]), 7);
}

#[test]
fn an_older_point_that_arrives_late_changes_nothing() {
    assert_eq!(total_after(vec![counter(1, 3, 9), counter(1, 2, 5)]), 9);
}

#[test]
fn a_delta_that_is_sent_twice_counts_once() {
    let delta = |start, time, value| Point {
        nature: Nature::Delta,
        ..counter(start, time, value)
    };
    assert_eq!(
        total_after(vec![delta(1, 2, 5), delta(1, 2, 5), delta(2, 3, 1)]),
        6
    );
}

#[test]
fn more_series_than_the_limit_are_counted_and_left_out() {
    let (instance, _) = Instances::default().intern(None);
    let mut totals = Totals::default();
    let metric = Metric::default();
    for number in 0..MAX_SERIES + 5 {
        let point = Point {
            attributes: vec![("n".to_owned(), number.to_string())],
            ..counter(1, 2, 1)
        };
        let key = Key::new(&instance, &Scope::default(), &metric, &point);
        totals.apply_point(&instance, key, point, Instant::now());
    }
    assert_eq!(totals.series.len(), MAX_SERIES);
    assert_eq!(totals.overflowed(), 5);
}

#[test]
fn an_evicted_instance_stays_in_the_sum() {
    let (instance, _) = Instances::default().intern(None);
    let mut totals = Totals::default();
    let metric = Metric::default();
    let point = counter(1, 2, 7);
    let key = Key::new(&instance, &Scope::default(), &metric, &point);
    totals.apply_point(&instance, key, point, Instant::now());
    totals.retire(instance.number);
    let sums: Vec<_> = totals
        .iter(Instant::now())
        .filter_map(|(_, series)| series.sum())
        .collect();
    assert_eq!(sums, [Value::Number(Number::Int(7))]);
    assert_eq!(totals.streams, 0);
}

#[test]
fn a_gauge_of_a_process_that_has_ended_leaves_the_sum_and_a_counter_stays() {
    use std::time::Duration;

    let mut instances = Instances::default();
    let ended = instances.intern(Some(&named("ended"))).0;
    let alive = instances.intern(Some(&named("alive"))).0;
    let mut totals = Totals::default();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let metrics = [Metric::default()];
    for (instance, second) in [
        (&ended, 0),
        (&alive, 0),
        (&ended, 5),
        (&alive, 5),
        (&alive, 25),
    ] {
        totals.activity.saw(instance.number, after(second));
        for (kind, nature) in [(Kind::Gauge, Nature::Latest), (Kind::Sum, Nature::Counter)] {
            let point = Point {
                kind,
                nature,
                ..counter(1, 2 + second, 7)
            };
            let key = Key::new(instance, &Scope::default(), &metrics[0], &point);
            totals.apply_point(instance, key, point, after(second));
        }
    }
    let sum = |kind, now| {
        let series = totals.iter(now).find(|(key, _)| key.kind == kind);
        series.and_then(|(_, series)| series.sum())
    };
    let number = |value| Some(Value::Number(Number::Int(value)));
    assert_eq!(sum(Kind::Gauge, after(20)), number(14));
    assert_eq!(sum(Kind::Gauge, after(25)), number(7));
    assert_eq!(sum(Kind::Sum, after(25)), number(14));
}

fn named(instance: &str) -> opentelemetry_proto::tonic::resource::v1::Resource {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

    let value = any_value::Value::StringValue(instance.to_owned());
    opentelemetry_proto::tonic::resource::v1::Resource {
        attributes: vec![KeyValue {
            key: "service.instance.id".to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..Default::default()
        }],
        ..Default::default()
    }
}
