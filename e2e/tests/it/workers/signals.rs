//! Any signal to the master or to a worker, and signals that the parent ignored or blocked.

use std::{thread, time::Duration};

use anyhow::{Context, Result};
use e2e::{Load, SOON, Signal, http, poll, process};

use super::{
    CLIENTS, FOREVER, connection_to, freeze, hello, wait_for_answers_from, wait_for_new_worker,
    wait_for_workers,
};
use crate::support::{assert_all_answered, stop};

#[test]
fn a_worker_killed_by_a_real_time_signal_is_replaced_and_the_program_still_stops() -> Result<()> {
    let hello = hello(2).option("--timeout", 3600).start()?;
    // The C library keeps 32 and 33 for itself.
    for signal in [34, 64] {
        let old = hello.workers();
        process::send_number(old[0], signal)?;
        let death = format!("(pid {})", old[0]);
        let noticed = |line: &str| line.contains(&death) && line.contains("signal");
        hello.wait_for_line(noticed, SOON)?;
        let workers = wait_for_workers(&hello, 2, &old[..1])?;
        wait_for_answers_from(&hello, &workers)?;
    }
    stop(hello)
}

#[test]
fn usr1_usr2_and_winch_to_the_master_are_logged_once_and_change_nothing() -> Result<()> {
    let hello = hello(2).start()?;
    let workers = hello.workers();
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH] {
        hello.signal(signal)?;
        let names_it = |line: &str| line.contains(signal.as_str());
        hello.wait_for_line(names_it, SOON)?;
        wait_for_answers_from(&hello, &workers)?;
        assert_eq!(hello.console().count(names_it), 1, "{}", hello.console());
    }
    assert_eq!(hello.workers(), workers, "{}", hello.console());
    stop(hello)
}

#[test]
fn signals_that_are_meant_for_the_master_leave_a_worker_serving() -> Result<()> {
    use Signal::{SIGHUP, SIGINT, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
    let hello = hello(2).option("--timeout", 3600).start()?;
    let old = hello.workers();
    for signal in [SIGHUP, SIGINT, SIGWINCH, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU] {
        let mut open = connection_to(&hello, old[0])?;
        process::send(old[0], signal)?;
        open.send_get("/")?;
        let answer = open.receive();
        let answer = answer.with_context(|| format!("after {signal}: {}", hello.console()))?;
        assert_eq!(answer.pid(), Some(old[0]), "after {signal}");
        assert!(!answer.closes(), "after {signal}: {answer:?}");
    }
    assert_eq!(hello.workers(), old, "{}", hello.console());
    stop(hello)
}

#[test]
fn a_parent_that_ignores_sigchld_changes_nothing() -> Result<()> {
    deaths_reloads_and_stops_work_under("--ignore-signal=CHLD")
}

#[test]
fn a_parent_that_ignores_every_signal_changes_nothing() -> Result<()> {
    deaths_reloads_and_stops_work_under("--ignore-signal")
}

#[test]
fn a_parent_that_blocks_every_signal_changes_nothing() -> Result<()> {
    deaths_reloads_and_stops_work_under("--block-signal")
}

/// Starts the program through env(1) with this option: both dispositions and the mask are inherited over exec.
fn deaths_reloads_and_stops_work_under(option: &str) -> Result<()> {
    // A death that is not noticed must not be mistaken for a worker that does not respond.
    let hello = hello(2)
        .option("--hang-timeout", 3600)
        .option("--timeout", 3600)
        .under(&["env", option])
        .start()?;
    let old = hello.workers();
    process::send(old[0], Signal::SIGKILL)?;
    let workers = wait_for_workers(&hello, 2, &old[..1])?;
    wait_for_answers_from(&hello, &workers)?;
    hello.signal(Signal::SIGHUP)?;
    let workers = wait_for_workers(&hello, 2, &workers)?;
    wait_for_answers_from(&hello, &workers)?;
    stop(hello)
}

#[test]
fn a_worker_told_to_stop_finishes_its_request_after_its_replacement_serves() -> Result<()> {
    let hello = hello(2).start()?;
    let old = hello.workers();
    let mut slow = connection_to(&hello, old[0])?;
    slow.send_get("/sleep?ms=5000")?;
    let traffic = Load::on(hello.addr()?)
        .every(Duration::from_millis(10))
        .start()?;
    traffic.wait_for_answers(50, SOON)?;
    process::send(old[0], Signal::SIGTERM)?;
    wait_for_new_worker(&hello, &old)?;
    // A connection that waits for the draining worker would be answered when that one is gone.
    for _ in 0..30 {
        http::get(hello.addr()?, "/")?;
    }
    assert!(
        process::is_alive(old[0]),
        "a connection had to wait; {}",
        hello.console()
    );
    assert_eq!(slow.receive()?.pid(), Some(old[0]));
    wait_for_workers(&hello, 2, &old[..1])?;
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    stop(hello)
}

#[test]
fn a_worker_that_is_stopped_while_it_drains_is_killed_at_a_deadline() -> Result<()> {
    let hello = hello(2)
        .option("--graceful-timeout", 3)
        .option("--timeout", 2)
        .start()?;
    let old = hello.workers();
    let mut endless = connection_to(&hello, old[0])?;
    endless.send_get(FOREVER)?;
    process::send(old[0], Signal::SIGTERM)?;
    let replacement = poll("a replacement of the draining worker", SOON, || {
        let mut workers = hello.workers();
        workers.retain(|pid| !old.contains(pid));
        workers.pop()
    });
    let replacement = replacement.with_context(|| hello.console().to_string())?;
    wait_for_answers_from(&hello, &[replacement])?;
    freeze(old[0])?;
    assert!(endless.receive().is_err());
    let workers = wait_for_workers(&hello, 2, &old[..1])?;
    wait_for_answers_from(&hello, &workers)?;
    stop(hello)
}

#[test]
fn a_worker_that_is_stopped_before_it_is_told_to_stop_is_killed_at_a_deadline() -> Result<()> {
    let hello = hello(2)
        .option("--graceful-timeout", 1)
        .option("--timeout", 2)
        .start()?;
    let old = hello.workers();
    freeze(old[0])?;
    process::send(old[0], Signal::SIGTERM)?;
    let workers = wait_for_workers(&hello, 2, &old[..1])?;
    wait_for_answers_from(&hello, &workers)?;
    stop(hello)
}

#[test]
fn term_to_every_worker_at_once_loses_nothing() -> Result<()> {
    let hello = hello(4).start()?;
    let load = Load::on(hello.addr()?).clients(CLIENTS).keep_alive(false);
    let traffic = load.start()?;
    traffic.wait_for_answers(1000, SOON)?;
    let mut old = hello.workers();
    for _ in 0..3 {
        for worker in &old {
            process::send(*worker, Signal::SIGTERM)?;
        }
        old = wait_for_workers(&hello, 4, &old)?;
        wait_for_answers_from(&hello, &old)?;
    }
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    stop(hello)
}

/// Servers at the same time, since each stop waits for clients whose connections are ignored and tried again.
const SERVERS: usize = 4;

/// Stops of each server: one in twelve lost a request.
const ROUNDS: usize = 5;

#[test]
fn term_to_the_whole_group_loses_no_short_connection() -> Result<()> {
    let stop_again_and_again = || -> Result<()> {
        for round in 0..ROUNDS {
            term_to_the_group_loses_nothing().with_context(|| format!("in round {round}"))?;
        }
        Ok(())
    };
    let servers: Vec<_> = (0..SERVERS)
        .map(|_| thread::spawn(stop_again_and_again))
        .collect();
    servers
        .into_iter()
        .try_for_each(|server| server.join().expect("a request was lost"))
}

fn term_to_the_group_loses_nothing() -> Result<()> {
    let mut hello = hello(4).start()?;
    let load = Load::on(hello.addr()?).clients(CLIENTS).keep_alive(false);
    let traffic = load.start()?;
    traffic.wait_for_answers(200, SOON)?;
    hello.signal_group(Signal::SIGTERM)?;
    let status = hello.wait_exit(SOON)?;
    traffic.wait_for_refusals(CLIENTS as u64, SOON)?;
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    assert_eq!(status.code(), Some(0), "{}", hello.console());
    hello.wait_gone(SOON)
}
