//! `METRICS_PORT`: the master answers scrapes, even if its workers are blocked or crash.

use std::{fs, net::TcpListener, process::Command};

use anyhow::{Result, ensure};
use e2e::{Load, Running, SOON, Signal, http, poll, process, real_part::real_part};

use super::{REQUESTS, Scrape, assert_refused, directory, metrics_addr, pull};
use crate::{support::stop, workers::freeze};

/// The program with a port for metrics, and 100 requests that it has answered.
fn used() -> Result<Running> {
    let running = pull().env("METRICS_PORT", "0").start()?;
    let report = Load::on(running.addr()?).clients(8).requests(100).run()?;
    assert_eq!(report.statuses.get(&200), Some(&100), "{report}");
    Ok(running)
}

#[test]
fn a_separate_metrics_port_serves_the_sum_instead_of_the_service_port() -> Result<()> {
    let running = used()?;
    let metrics = metrics_addr(&running)?;
    assert_ne!(metrics.port(), 0);
    assert_eq!(Scrape::of(metrics)?.sum(REQUESTS), 100.0);
    assert_eq!(http::get(running.addr()?, "/metrics")?.status, 404);
    for path in ["/", "/healthz"] {
        assert_eq!(http::get(metrics, path)?.status, 404, "{path}");
    }
    stop(running)?;
    assert!(http::get(metrics, "/metrics").is_err());
    Ok(())
}

#[test]
fn the_master_answers_while_every_worker_is_blocked() -> Result<()> {
    let running = used()?;
    let workers = running.workers();
    for worker in &workers {
        freeze(*worker)?;
    }
    for _ in 0..10 {
        let scrape = Scrape::of(metrics_addr(&running)?)?;
        assert_eq!(scrape.sum(REQUESTS), 100.0, "{}", scrape.text);
    }
    for worker in workers {
        process::send(worker, Signal::SIGCONT)?;
    }
    assert_eq!(http::get(running.addr()?, "/")?.status, 200);
    stop(running)
}

#[test]
fn the_master_answers_while_every_worker_crashes_at_boot() -> Result<()> {
    let Some(prlimit) = real_part("prlimit", "Debian's package util-linux")? else {
        return Ok(());
    };
    let running = used()?;
    // A process that may not write to a file gets a signal when it takes its identifier.
    let limit = |size: &str| -> Result<()> {
        let pid = running.pid().to_string();
        let status = Command::new(&prlimit)
            .args([&format!("--fsize={size}:unlimited"), "--pid", &pid])
            .status()?;
        ensure!(status.success(), "prlimit: {status}");
        Ok(())
    };
    limit("0")?;
    for worker in running.workers() {
        process::send(worker, Signal::SIGKILL)?;
    }
    let scrape = poll("both workers to crash at boot twice", SOON, || {
        let scrape = Scrape::of(metrics_addr(&running).ok()?).ok()?;
        assert_eq!(scrape.sum(REQUESTS), 100.0, "{}", scrape.text);
        let crashes = scrape.sum_with("worker_exits_total", "kind=\"signal\"");
        (crashes >= 2.0 + 4.0).then_some(scrape)
    })?;
    assert_eq!(scrape.sum("worker_up"), 0.0, "{}", scrape.text);

    limit("unlimited")?;
    poll("a worker that serves", SOON, || {
        http::get(running.addr().ok()?, "/").ok()
    })?;
    let after = Scrape::of(metrics_addr(&running)?)?;
    assert_eq!(after.sum(REQUESTS), 101.0, "{}", after.text);
    Ok(())
}

#[test]
fn workers_serve_while_their_metrics_cannot_be_written_and_lose_none() -> Result<()> {
    let running = used()?;
    // A directory where the lock of a worker belongs lets none of them get beyond it.
    let lock = directory(&running)?.join("worker-0/lock");
    fs::remove_file(&lock)?;
    fs::create_dir(&lock)?;
    let before = running.workers();
    for worker in &before {
        process::send(*worker, Signal::SIGKILL)?;
    }
    poll("new workers", SOON, || {
        let workers = running.workers();
        let are_new = workers.iter().all(|worker| !before.contains(worker));
        (workers.len() == 2 && are_new).then_some(())
    })?;
    let report = Load::on(running.addr()?).clients(8).requests(100).run()?;
    assert_eq!(report.statuses.get(&200), Some(&100), "{report}");
    running.wait_for_line(|line| line.contains("counting in memory"), SOON)?;

    fs::remove_dir(&lock)?;
    poll("all requests to be counted", SOON, || {
        let scrape = Scrape::of(metrics_addr(&running).ok()?).ok()?;
        (scrape.sum(REQUESTS) == 200.0).then_some(())
    })?;
    stop(running)
}

#[test]
fn equal_ports_are_an_error_that_names_both_variables() -> Result<()> {
    let program = pull().env("PORT", "5173").env("METRICS_PORT", "5173");
    assert_refused(&program.run(SOON)?, 2, &["METRICS_PORT", "(PORT)", "5173"]);
    Ok(())
}

#[test]
fn an_invalid_metrics_port_is_an_error() -> Result<()> {
    for value in ["65536", "-1", "metrics"] {
        let ended = pull().env("METRICS_PORT", value).run(SOON)?;
        assert_refused(&ended, 2, &["METRICS_PORT", value]);
    }
    Ok(())
}

#[test]
fn a_metrics_port_in_use_is_one_error_line_and_leaves_no_process() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let runtime = super::Temporary::new("taken-port")?;
    let program = pull().env("METRICS_PORT", &port);
    let ended = program.env("XDG_RUNTIME_DIR", runtime.path()).run(SOON)?;
    assert_refused(&ended, 1, &["METRICS_PORT", &port]);
    assert_eq!(super::names(runtime.path())?, [""; 0]);
    Ok(())
}
