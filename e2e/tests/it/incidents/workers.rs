//! Faults of worker processes.

use std::fs;

use anyhow::Result;
use e2e::{Program, SOON, Signal, Temporary, http::Connection};

use serde_json::Value;

use super::{Incident, demo, list, scraped, with_demo};
use crate::support::stop;

#[test]
fn a_blocked_handler_stalls_its_worker_while_others_are_served() -> Result<()> {
    let incident = Incident::start(&demo())?;
    let mut blocked = Connection::open(incident.service.addr()?)?;
    blocked.send_get("/demo/block/5000")?;
    let stalled = incident.worker("stalled")?;
    incident.wait_for_event("a helper for worker")?;
    incident.take_image("stalled-worker", "/", "h2", 200)?;
    // Both halves of the connections: those of the other worker, and those in the queue of this one.
    for _ in 0..10 {
        assert_eq!(incident.get("/")?, 200);
    }
    assert_eq!(blocked.receive()?.status, 200);
    let (_, trace) = incident.trace("GET /demo/block/{ms}", 1)?;
    assert_eq!(trace[0]["pid"], stalled.as_str());
    assert!(
        trace[0]["milliseconds"].as_f64() >= Some(5000.0),
        "{trace:?}"
    );
    assert_eq!(
        trace[0]["logs"][0]["body"],
        "blocking the serving thread for 5000 ms"
    );
    assert_eq!(
        incident
            .service
            .console()
            .count(|line| line.contains(&format!("(pid {stalled}) hangs"))),
        1
    );
    stop(incident.service)
}

#[test]
fn leaked_memory_is_in_the_slot_of_the_worker_that_leaks() -> Result<()> {
    let incident = Incident::start(&scraped())?;
    incident.get_on_one_connection("/demo/leak/20", 5)?;
    let memory = incident.scrape("process_resident_memory_bytes{slot=")?;
    assert_eq!(memory.len(), 2);
    assert!(memory[1] - memory[0] > 90.0 * 1024.0 * 1024.0, "{memory:?}");
    let pids = incident.logs("leaked 20 MiB", 5)?;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let (_, trace) = incident.trace("GET /demo/leak/{mib}", 1)?;
    assert_eq!(trace[0]["pid"], pids[0].as_str());
    incident.take_image("leak", "/", "#metrics-title", 340)?;
    stop(incident.service)
}

#[test]
fn a_deploy_that_does_not_boot_leaves_the_old_workers_serving() -> Result<()> {
    let directory = Temporary::new("deploy")?;
    let (program, next) = (directory.path().join("shop"), directory.path().join("next"));
    fs::copy(Program::new("all-signals").executable()?, &program)?;
    let scraped = with_demo(Program::found(&program)).option("--metrics", "pull");
    let incident = Incident::start(&scraped)?;
    let mut before = incident.service.workers();
    fs::copy("/bin/false", &next)?;
    fs::rename(&next, &program)?;
    incident.service.signal(Signal::SIGHUP)?;
    incident.wait_for_event("reload: failure")?;
    incident.take_image("failed-deploy", "/", "h2", 200)?;
    incident.wait_for_series("worker_reloads_total{result=\"failure\"}", &[1.0])?;
    incident
        .service
        .wait_for_line(|line| line.contains("reload failed"), SOON)?;
    let mut after = incident.service.workers();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(after, before);
    assert_eq!(incident.get("/")?, 200);
    stop(incident.service)
}

#[test]
fn requests_on_one_connection_go_to_one_worker() -> Result<()> {
    let incident = Incident::start(&scraped())?;
    incident.get_on_one_connection("/", 300)?;
    incident.wait_for_series("worker_requests_total{slot=", &[0.0, 300.0])?;
    incident.wait_for("/api/workers", |found| {
        let rate = |worker: &Value| worker["requests_per_second"].as_f64();
        list(&found["workers"])
            .any(|worker| rate(worker) > Some(0.0))
            .then_some(())
    })?;
    incident.take_image("uneven-load", "/", "h2", 200)?;
    let pids = incident.logs("Request received", 50)?;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    stop(incident.service)
}

#[test]
fn each_crash_is_counted_and_leaves_no_trace() -> Result<()> {
    let incident = Incident::start(&scraped())?;
    for _ in 0..4 {
        assert!(incident.get("/demo/crash").is_err());
    }
    incident.wait_for_event("was killed by a signal")?;
    incident.take_image("crash-loop", "/", "h2", 200)?;
    let exits = incident.scrape("worker_exits_total{")?;
    assert_eq!(exits.iter().sum::<f64>(), 4.0);
    let killed = |line: &str| line.contains("was killed by SIGABRT, restarting");
    assert_eq!(incident.service.console().count(killed), 4);
    // A later request has its trace, so those of the crashes would be here too.
    assert_eq!(incident.get("/")?, 200);
    incident.trace("GET /", 2)?;
    incident.wait_for("/api/traces", |rows| {
        (rows.as_array()?.len() == 1).then_some(())
    })?;
    stop(incident.service)
}
