//! TERM under load: every accepted or queued request is answered, and then connections are refused.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::{Load, Running, SOON, Signal, load::Kind};

use super::{CLIENTS, hello, is_alarming, without_capability};

/// Number of repetitions, because a race may succeed by chance.
pub(super) const ROUNDS: usize = 5;

#[test]
fn term_under_load_from_keep_alive_clients_loses_nothing() -> Result<()> {
    for round in 0..ROUNDS {
        stop_loses_nothing(4, 1, true).with_context(|| format!("in round {round}"))?;
    }
    Ok(())
}

#[test]
fn term_under_load_from_clients_that_close_loses_nothing() -> Result<()> {
    for round in 0..ROUNDS {
        stop_loses_nothing(4, 1, false).with_context(|| format!("in round {round}"))?;
    }
    Ok(())
}

#[test]
fn term_under_load_loses_nothing_whatever_the_number_of_processes_and_threads() -> Result<()> {
    for (workers, threads) in [(1, 1), (2, 2)] {
        for keep_alive in [true, false] {
            stop_loses_nothing(workers, threads, keep_alive).with_context(|| {
                format!("with {workers} workers, {threads} threads, keep-alive {keep_alive}")
            })?;
        }
    }
    Ok(())
}

#[test]
fn term_under_load_loses_nothing_without_privileges() -> Result<()> {
    for keep_alive in [true, false] {
        // Some kernels let only an administrator of the network filter what a socket gets.
        let hello = without_capability(hello(4), "net_admin").start()?;
        stop_of_loses_nothing(hello, keep_alive)
            .with_context(|| format!("with keep-alive {keep_alive}"))?;
    }
    Ok(())
}

fn stop_loses_nothing(workers: usize, threads: usize, keep_alive: bool) -> Result<()> {
    let hello = hello(workers).option("--threads", threads).start()?;
    stop_of_loses_nothing(hello, keep_alive)
}

fn stop_of_loses_nothing(mut hello: Running, keep_alive: bool) -> Result<()> {
    let traffic = Load::on(hello.addr()?)
        .clients(CLIENTS)
        .keep_alive(keep_alive)
        .start()?;
    traffic.wait_for_answers(1000, SOON)?;
    hello.signal(Signal::SIGTERM)?;
    let status = hello.wait_exit(2 * SOON)?;
    traffic.wait_for_refusals(CLIENTS as u64, SOON)?;
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    assert_eq!(report.accepted_after_refusal, 0, "{report}");
    assert_eq!(report.unclean_closes, 0, "{report}");
    assert_eq!(report.statuses.get(&200), Some(&report.answered));
    assert_eq!(status.code(), Some(0), "{}", hello.console());
    assert_eq!(hello.console().count(is_alarming), 0);
    hello.wait_gone(SOON)
}

#[test]
fn term_under_load_of_slow_requests_answers_all_that_were_sent() -> Result<()> {
    let mut hello = hello(2).start()?;
    let load = Load::on(hello.addr()?)
        .clients(CLIENTS)
        .path("/sleep?ms=300");
    let traffic = load.start()?;
    traffic.wait_for_answers(CLIENTS as u64, SOON)?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    Ok(())
}

#[test]
fn new_connections_are_answered_or_refused_during_a_stop() -> Result<()> {
    let mut hello = hello(2).start()?;
    let traffic = Load::on(hello.addr()?)
        .every(Duration::from_millis(2))
        .start()?;
    traffic.wait_for_answers(200, SOON)?;
    hello.signal(Signal::SIGTERM)?;
    hello.wait_exit(SOON)?;
    traffic.wait_for_refusals(1, SOON)?;
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    assert_eq!(
        report.count(Kind::Refused) + report.answered,
        report.total()
    );
    Ok(())
}
