//! Faults of the telemetry itself.

use anyhow::Result;
use collector::{Collector, Config};
use e2e::{Load, Program, SOON, poll, real_part};

use super::{Incident, demo, take_image, with_demo};
use crate::{
    otlp::{self, Protocol},
    support::stop,
};

#[test]
fn a_dead_collector_stops_no_request_and_takes_no_total_with_it() -> Result<()> {
    let address = otlp::collector()?.http_addr();
    let service = otlp::pushing_to_address(demo(), address, Protocol::Http).start()?;
    let report = Load::on(service.addr()?).requests(50).run()?;
    assert_eq!(report.answered, 50);
    for what in ["spans", "log records", "metrics"] {
        let told = format!("{what} do not arrive at http://{address}");
        service.wait_for_line(|line| line.contains(&told), SOON)?;
    }
    let collector = Collector::start(Config {
        http: address,
        view: true,
        ..Config::silent()
    })?;
    poll("the total", SOON, || {
        (collector.received().sum("num_requests", &[]) == 50.0).then_some(())
    })?;
    take_image(address, "dead-collector", "/", "#metrics-title", 260)?;
    stop(service)
}

#[test]
fn a_full_disk_stops_no_request_and_loses_no_count() -> Result<()> {
    // A store of 100 KiB, in a mount namespace of the service.
    let mounted = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs -o size=100k metrics /mnt && PROMETHEUS_MULTIPROC_DIR=/mnt exec \"$@\"",
        "sh",
    ];
    let probe = Program::found("true").under(&mounted).run(SOON)?;
    if !probe.status.success() {
        return real_part::skip("cannot mount a small file system in a user namespace");
    }
    let program = with_demo(Program::new("all-signals").under(&mounted));
    let incident = Incident::start(
        &program
            .option("--metrics", "push-sum")
            .option("--workers", 1),
    )?;
    for _ in 0..10 {
        assert_eq!(incident.get("/")?, 200);
    }
    incident.wait_for_series("num_requests_total", &[10.0])?;
    incident.wait_for("/api/losses", |losses| {
        let count = &losses["by_senders"]["incidents of the metric store: in memory"];
        (count.as_f64()? >= 1.0).then_some(())
    })?;
    let said = "No space left on device (os error 28), counting in memory until it works";
    incident
        .service
        .wait_for_line(|line| line.contains(said), SOON)?;
    incident.take_image("full-disk", "/?level=warn", "#logs-title", 190)?;
    stop(incident.service)
}
