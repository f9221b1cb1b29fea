//! Tests of the sums over all instances, with restarts, kills and both temporalities.

use collector::{
    Collector, Config,
    proto::metrics::v1::{
        AggregationTemporality::{Cumulative, Delta},
        Histogram, HistogramDataPoint, Metric, Sum,
        metric::Data,
    },
};
use prost::Message;
use support::{PROTOBUF, attribute, counter, metrics_request, num_requests, post, resource};

mod support;

fn start() -> Collector {
    Collector::start(Config::silent()).expect("the collector starts")
}

fn push(collector: &Collector, request: &impl Message) {
    let answer = post(
        collector.http_addr(),
        "/v1/metrics",
        PROTOBUF,
        &request.encode_to_vec(),
    );
    assert_eq!(answer.status, 200);
}

fn delta(instance: &str, times: (u64, u64), value: i64) -> impl Message {
    let metric = counter("num_requests", Delta, times, value);
    metrics_request(resource("shop", instance, 1), vec![metric])
}

#[test]
fn cumulative_totals_of_two_workers_add_up_to_the_latest_of_each() {
    let collector = start();
    push(&collector, &num_requests("a", (1, 10), 2));
    push(&collector, &num_requests("b", (1, 10), 1));
    push(&collector, &num_requests("a", (1, 20), 5));
    let received = collector.received();
    assert_eq!(received.sum("num_requests", &[]), 6.0);
    let per_instance = received.per_instance("num_requests", &[]);
    assert_eq!(per_instance["a"], 5.0);
    assert_eq!(per_instance["b"], 1.0);
    assert_eq!(received.data_points(), 3);
}

#[test]
fn the_sum_of_no_series_is_zero_without_a_sign() {
    let nothing = start().received().sum("num_requests", &[]);
    assert_eq!(nothing.to_string(), "0");
}

#[test]
fn deltas_of_two_workers_are_accumulated() {
    let collector = start();
    push(&collector, &delta("a", (1, 10), 2));
    push(&collector, &delta("b", (1, 10), 1));
    push(&collector, &delta("a", (10, 20), 3));
    assert_eq!(collector.received().sum("num_requests", &[]), 6.0);
}

#[test]
fn a_delta_repeated_by_a_retry_counts_once() {
    let collector = start();
    for _ in 0..3 {
        push(&collector, &delta("a", (1, 10), 2));
    }
    assert_eq!(collector.received().sum("num_requests", &[]), 2.0);
}

#[test]
fn a_killed_worker_stays_in_the_sum_when_its_successor_reports() {
    let collector = start();
    push(&collector, &num_requests("killed", (1, 10), 40));
    push(&collector, &num_requests("successor", (15, 20), 2));
    assert_eq!(collector.received().sum("num_requests", &[]), 42.0);
}

#[test]
fn a_restarted_instance_adds_to_its_previous_total() {
    let collector = start();
    push(&collector, &num_requests("a", (1, 10), 40));
    push(&collector, &num_requests("a", (20, 30), 50));
    push(&collector, &num_requests("a", (20, 40), 3));
    assert_eq!(collector.received().sum("num_requests", &[]), 93.0);
}

#[test]
fn an_up_down_counter_sums_the_last_value_of_each_worker() {
    let collector = start();
    let active = |value| {
        let mut metric = counter("active", Cumulative, (1, 10 + value as u64), value);
        if let Some(Data::Sum(Sum {
            is_monotonic,
            data_points,
            ..
        })) = &mut metric.data
        {
            *is_monotonic = false;
            data_points[0].time_unix_nano = 0;
        }
        metric
    };
    for (instance, value) in [("a", 7), ("b", 2), ("a", 1)] {
        push(
            &collector,
            &metrics_request(resource("shop", instance, 1), vec![active(value)]),
        );
    }
    assert_eq!(collector.received().sum("active", &[]), 3.0);
}

#[test]
fn histograms_add_up_and_can_be_queried_by_attribute() {
    let collector = start();
    let histogram = |route: &str, count: u64| Metric {
        name: "http.server.request.duration".to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint {
                attributes: vec![attribute("http.route", route)],
                start_time_unix_nano: 1,
                time_unix_nano: 2,
                count,
                sum: Some(0.5),
                bucket_counts: vec![count, 0],
                explicit_bounds: vec![1.0],
                ..HistogramDataPoint::default()
            }],
            aggregation_temporality: Cumulative.into(),
        })),
        ..Metric::default()
    };
    for instance in ["a", "b"] {
        let metrics = vec![histogram("/", 3), histogram("/chain", 1)];
        push(
            &collector,
            &metrics_request(resource("shop", instance, 1), metrics),
        );
    }
    let received = collector.received();
    let name = "http.server.request.duration";
    assert_eq!(received.count(name, &[("http.route", "/")]), 6);
    assert_eq!(received.count(name, &[]), 8);
    assert_eq!(received.sum(name, &[]), 2.0);
    assert_eq!(received.count(name, &[("http.route", "/none")]), 0);
}

#[test]
fn services_stay_separate_and_resources_can_be_queried() {
    let collector = start();
    push(&collector, &num_requests("a", (1, 10), 2));
    let other = counter("num_requests", Cumulative, (1, 10), 5);
    push(
        &collector,
        &metrics_request(resource("bank", "a", 77), vec![other]),
    );
    let received = collector.received();
    let mut services: Vec<_> = received
        .series("num_requests", &[])
        .map(|series| (series.service.as_str(), series.sum))
        .collect();
    services.sort_by_key(|(service, _)| *service);
    assert_eq!(services, [("bank", 5.0), ("shop", 2.0)]);
    let bank = received
        .instances()
        .iter()
        .find(|instance| instance.service() == "bank")
        .expect("bank has reported");
    assert_eq!((bank.id(), bank.pid()), ("a", Some("77")));
    assert_eq!(bank.resource_attribute("process.pid"), Some("77"));
}

#[test]
fn a_data_point_with_too_long_attributes_is_counted_and_left_out() {
    let collector = start();
    let mut metric = counter("num_requests", Cumulative, (1, 10), 2);
    if let Some(Data::Sum(sum)) = &mut metric.data {
        sum.data_points[0].attributes = vec![attribute("path", &"x".repeat(100_000))];
    }
    push(
        &collector,
        &metrics_request(resource("shop", "a", 1), vec![metric]),
    );
    let received = collector.received();
    assert_eq!(received.overflowed(), 1);
    assert_eq!(received.sum("num_requests", &[]), 0.0);
}
