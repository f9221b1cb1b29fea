//! The code examples of the README.

use std::{collections::BTreeMap, error::Error};

use collector::{Collector, Config, EmbedOptions, Fault, Signal};
use prost::Message;
use support::{PROTOBUF, num_requests, post, until};

mod support;

#[test]
fn a_test_queries_received_metrics_and_simulates_a_failure() -> Result<(), Box<dyn Error>> {
    let collector = Collector::start(Config::silent())?;
    let push = |instance, total| {
        let body = num_requests(instance, (1, 2), total).encode_to_vec();
        post(collector.http_addr(), "/v1/metrics", PROTOBUF, &body).status
    };
    assert_eq!((push("one", 60), push("other", 40)), (200, 200));
    until("both have arrived", || {
        collector.received().data_points() == 2
    });
    let received = collector.received();
    assert_eq!(received.sum("num_requests", &[]), 100.0);
    assert_eq!(received.per_instance("num_requests", &[]).len(), 2);

    collector.set_fault(Fault::Unavailable);
    assert_eq!(push("third", 7), 503);
    assert_eq!(collector.received().sum("num_requests", &[]), 100.0);
    collector.set_fault(Fault::None);
    assert_eq!(push("third", 7), 200);
    Ok(())
}

#[test]
fn a_program_embeds_it_for_its_workers() -> Result<(), Box<dyn Error>> {
    let mut environment = BTreeMap::new();
    let options = EmbedOptions::default();
    let collector = options.embed_unless_configured(&mut environment, &[Signal::Metrics])?;

    // The environment of the test run may configure an endpoint.
    let is_told = environment.contains_key("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
    assert_eq!(collector.is_some(), is_told);
    drop(collector);
    Ok(())
}
