//! TTIN and TTOU add and remove a worker without losing a request.

use anyhow::Result;
use e2e::{Load, Running, SOON, Signal, poll};

use super::{CLIENTS, hello, wait_for_answers_from, wait_for_workers};
use crate::support::assert_all_answered;

#[test]
fn more_and_fewer_workers_under_load_from_keep_alive_clients_lose_nothing() -> Result<()> {
    more_and_fewer_workers_lose_nothing(true)
}

#[test]
fn more_and_fewer_workers_under_load_from_clients_that_close_lose_nothing() -> Result<()> {
    more_and_fewer_workers_lose_nothing(false)
}

fn more_and_fewer_workers_lose_nothing(keep_alive: bool) -> Result<()> {
    let hello = hello(2).start()?;
    let load = Load::on(hello.addr()?).clients(CLIENTS);
    let traffic = load.keep_alive(keep_alive).start()?;
    traffic.wait_for_answers(1000, SOON)?;
    // Up and down twice: the second time, sockets are used again.
    for _ in 0..2 {
        for workers in [3, 4] {
            scale(&hello, Signal::SIGTTIN, workers)?;
            wait_for_answers_from(&hello, &hello.workers())?;
            traffic.wait_for_answers(500, SOON)?;
        }
        for workers in [3, 2, 1] {
            scale(&hello, Signal::SIGTTOU, workers)?;
            traffic.wait_for_answers(500, SOON)?;
        }
        scale(&hello, Signal::SIGTTIN, 2)?;
    }
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    assert_eq!(report.unclean_closes, 0, "{report}");
    Ok(())
}

/// Sends the signal and waits for this number of workers.
fn scale(hello: &Running, signal: Signal, workers: usize) -> Result<()> {
    hello.signal(signal)?;
    wait_for_workers(hello, workers, &[])?;
    Ok(())
}

#[test]
fn the_number_of_workers_outlasts_a_reload_and_never_falls_below_one() -> Result<()> {
    let hello = hello(2).start()?;
    scale(&hello, Signal::SIGTTIN, 3)?;
    let old = hello.workers();
    hello.signal(Signal::SIGHUP)?;
    let workers = wait_for_workers(&hello, 3, &old)?;
    wait_for_answers_from(&hello, &workers)?;

    for workers in [2, 1] {
        scale(&hello, Signal::SIGTTOU, workers)?;
    }
    let last = hello.workers();
    hello.signal(Signal::SIGTTOU)?;
    hello.wait_for_line(|line| line.contains("SIGTTOU ignored"), SOON)?;
    assert_eq!(hello.workers(), last, "{}", hello.console());
    wait_for_answers_from(&hello, &last)
}

#[test]
fn adding_a_worker_while_one_is_draining_loses_nothing() -> Result<()> {
    for keep_alive in [true, false] {
        let hello = hello(2).start()?;
        let load = Load::on(hello.addr()?).clients(CLIENTS);
        let traffic = load.keep_alive(keep_alive).start()?;
        traffic.wait_for_answers(1000, SOON)?;
        for _ in 0..5 {
            let last = hello.workers();
            let told = || {
                let taken_up = |line: &str| line.contains("SIGTTOU: now 1 worker");
                hello.console().count(taken_up)
            };
            let before = told();
            hello.signal(Signal::SIGTTOU)?;
            poll("the master to take it up", SOON, || {
                (told() > before).then_some(())
            })?;
            hello.signal(Signal::SIGTTIN)?;
            poll("another second worker", 2 * SOON, || {
                let workers = hello.workers();
                let new = workers.iter().any(|pid| !last.contains(pid));
                (workers.len() == 2 && new).then_some(())
            })?;
        }
        let report = traffic.stop()?;
        assert_all_answered(&report, &hello);
    }
    Ok(())
}

#[test]
fn signals_in_any_order_lose_nothing() -> Result<()> {
    use Signal::{SIGHUP, SIGTTIN, SIGTTOU};
    let asked = [
        SIGHUP, SIGTTIN, SIGHUP, SIGTTOU, SIGTTOU, SIGHUP, SIGTTIN, SIGTTIN, SIGTTOU, SIGHUP,
        SIGHUP, SIGTTIN, SIGTTOU, SIGTTOU, SIGTTOU, SIGTTIN, SIGHUP, SIGTTIN, SIGHUP, SIGTTOU,
    ];
    for keep_alive in [true, false] {
        let mut hello = hello(3).option("--max-requests", 500).start()?;
        let load = Load::on(hello.addr()?).clients(CLIENTS);
        let traffic = load.keep_alive(keep_alive).start()?;
        for signal in asked {
            traffic.wait_for_answers(100, SOON)?;
            hello.signal(signal)?;
        }
        traffic.wait_for_answers(1000, SOON)?;
        hello.signal(Signal::SIGTERM)?;
        let status = hello.wait_exit(2 * SOON)?;
        let report = traffic.stop()?;
        assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
        assert_eq!(report.unclean_closes, 0, "{report}");
        assert_eq!(status.code(), Some(0), "{}", hello.console());
        hello.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn a_stop_while_a_worker_is_draining_loses_nothing() -> Result<()> {
    let mut hello = hello(3).start()?;
    let traffic = Load::on(hello.addr()?)
        .clients(CLIENTS)
        .keep_alive(false)
        .start()?;
    traffic.wait_for_answers(1000, SOON)?;
    hello.signal(Signal::SIGTTOU)?;
    hello.wait_for_line(|line| line.contains("SIGTTOU: now 2 workers"), SOON)?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(
        hello.wait_exit(2 * SOON)?.code(),
        Some(0),
        "{}",
        hello.console()
    );
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    hello.wait_gone(SOON)
}

#[test]
fn a_draining_worker_that_is_killed_loses_no_queued_connection() -> Result<()> {
    let hello = hello(2).start()?;
    let last = hello.ready()?.serving()[1];
    // It is stopped, so that its socket has a queue, which nobody else will serve.
    super::freeze(last)?;
    let load = Load::on(hello.addr()?).clients(CLIENTS).keep_alive(false);
    let traffic = load.start()?;
    let port = hello.addr()?.port();
    poll("connections in the queue", SOON, || {
        let queued = e2e::sockets::queued(port).ok()?;
        (queued.len() >= 4).then_some(())
    })?;
    hello.signal(Signal::SIGTTOU)?;
    hello.wait_for_line(|line| line.contains("SIGTTOU: now 1 worker"), SOON)?;
    let accepted = e2e::sockets::accepted_by(last, port)?;
    e2e::process::send(last, Signal::SIGKILL)?;
    wait_for_workers(&hello, 1, &[last])?;
    traffic.wait_for_answers(500, SOON)?;
    let report = traffic.stop()?;
    for failure in &report.failures {
        let known = accepted.contains(&failure.port);
        assert!(known, "{failure:?}: {report}\n{}", hello.console());
    }
    Ok(())
}
