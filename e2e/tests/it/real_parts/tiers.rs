//! Two agents and a gateway, as on two machines: data that an agent has acknowledged survives its kill.

use std::path::Path;

use anyhow::Result;
use e2e::{
    SOON, Signal, Temporary, http,
    otelcol::{self, Otelcol, Written},
    poll, process,
};

use super::{DURATIONS, REQUESTS, pushing_to, send, wait_for_sum};
use crate::{otlp::Protocol, support::stop};

fn agent(executable: &Path, gateway: &Otelcol, queue: &Path) -> Result<Otelcol> {
    let agent = Otelcol::new(executable, "otel-collector-agent.yaml")?;
    Ok(agent
        .env(
            "GATEWAY_ENDPOINT",
            format!("http://{}", gateway.ports().http),
        )
        .env("QUEUE_DIRECTORY", queue.display()))
}

#[test]
fn totals_and_logs_are_exact_after_an_agent_was_killed_with_its_queue_on_disk() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    let directory = Temporary::new("tiers")?;
    let queues = ["one", "two"].map(|name| directory.path().join(name));
    let mut gateway =
        Otelcol::new(&executable, "otel-collector.yaml")?.with_file(directory.path())?;
    let up = gateway.start()?;
    let mut agents = Vec::new();
    for queue in &queues {
        let mut agent = agent(&executable, &gateway, queue)?;
        let running = agent.start()?;
        agents.push((agent, running));
    }
    let push = |agent: &Otelcol| pushing_to("metrics-push", agent.ports(), Protocol::Http).start();
    let (one, two) = (push(&agents[0].0)?, push(&agents[1].0)?);
    let logs = pushing_to("logs", agents[0].0.ports(), Protocol::Grpc).start()?;

    for host in [&one, &two] {
        send(host, 200)?;
    }
    // The gateway adds up what comes from both hosts.
    wait_for_sum(gateway.ports().service, REQUESTS, 400.0)?;
    otelcol::stop(up)?;

    // With the gateway away everything stays on the disks of the agents. The services of the first host end, so that
    // nobody but its agent has what they sent last.
    for host in [&one, &two] {
        send(host, 100)?;
    }
    send(&logs, 100)?;
    stop(one)?;
    stop(logs)?;
    let (killed, running) = agents.remove(0);
    process::send(running.pid(), Signal::SIGKILL)?;
    running.wait_gone(SOON)?;

    let _up = gateway.start_again()?;
    let _again = killed.start_again()?;
    send(&two, 100)?;
    stop(two)?;
    let workers = gateway.ports().workers;
    wait_for_sum(workers, REQUESTS, 700.0)?;
    wait_for_sum(workers, DURATIONS, 700.0)?;
    poll("200 log records", SOON, || {
        (count_logs(directory.path()) >= 200).then_some(())
    })?;
    wait_for_empty_queue(&killed)?;
    assert_eq!(count_logs(directory.path()), 200);
    Ok(())
}

fn count_logs(directory: &Path) -> usize {
    let written = Written::read(directory);
    written.map_or(0, |written| {
        let path = ["resourceLogs", "scopeLogs", "logRecords"];
        written.at(&path).len()
    })
}

/// Waits until the agent has forwarded everything, including possible duplicates.
fn wait_for_empty_queue(agent: &Otelcol) -> Result<()> {
    poll("an empty queue", SOON, || {
        let text = http::get_until_close(agent.ports().own, "/metrics").ok()?;
        let sizes: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("otelcol_exporter_queue_size"))
            .collect();
        let empty = sizes.iter().all(|line| line.ends_with(" 0"));
        (!sizes.is_empty() && empty).then_some(())
    })
}
