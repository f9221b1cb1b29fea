//! A killed worker loses only the requests that it had accepted.

use anyhow::Result;
use e2e::{Load, SOON, Signal, load::Kind, poll, process, sockets};

use super::{freeze, hello, hello_without_helpers, wait_for_new_worker};

#[test]
fn every_request_is_answered_by_one_of_the_workers() -> Result<()> {
    for workers in [1, 2, 4] {
        let hello = hello_without_helpers(workers).start()?;
        let mut pids = hello.workers();
        pids.sort_unstable();
        assert_eq!(pids.len(), workers);
        assert_eq!(hello.ready()?.serving().len(), workers);
        assert_eq!(hello.ready()?.master(), Some(hello.pid()));
        for keep_alive in [true, false] {
            let load = Load::on(hello.addr()?).clients(16).keep_alive(keep_alive);
            let report = load.requests(2000).run()?;
            assert_eq!(report.statuses.get(&200), Some(&2000), "{report}");
            let known = |pid| pids.binary_search(pid).is_ok();
            assert!(report.pids.keys().all(known), "{report}, {pids:?}");
            // So many new connections reach every worker.
            assert!(keep_alive || report.pids.len() == workers, "{report}");
        }
    }
    Ok(())
}

#[test]
fn a_killed_worker_loses_only_accepted_keep_alive_connections() -> Result<()> {
    only_what_the_dead_worker_had_accepted_is_lost(true)
}

#[test]
fn a_killed_worker_loses_only_accepted_connections_and_none_in_its_queue() -> Result<()> {
    only_what_the_dead_worker_had_accepted_is_lost(false)
}

fn only_what_the_dead_worker_had_accepted_is_lost(keep_alive: bool) -> Result<()> {
    let hello = hello(4).start()?;
    let port = hello.addr()?.port();
    let old = hello.ready()?.serving();
    let victim = old[0];
    let load = Load::on(hello.addr()?).clients(64).keep_alive(keep_alive);
    let traffic = load.start()?;
    traffic.wait_for_answers(1000, SOON)?;

    // A frozen worker accepts nothing more, so that what it has accepted can be told from what waits in its queue.
    freeze(victim)?;
    if !keep_alive {
        poll("connections in the frozen worker's queue", SOON, || {
            (sockets::queued(port).ok()?.len() >= 16).then_some(())
        })?;
    }
    let accepted = sockets::accepted_by(victim, port)?;
    process::send(victim, Signal::SIGKILL)?;

    let new = wait_for_new_worker(&hello, &old)?;
    traffic.wait_for_answers(1000, SOON)?;
    assert!(hello.workers().contains(&new));
    assert!(!hello.workers().contains(&victim));
    let report = traffic.stop()?;
    assert_eq!(report.count(Kind::Refused), 0, "{report}");
    assert_eq!(report.count(Kind::TimedOut), 0, "{report}");
    assert!(
        !keep_alive || report.lost() > 0,
        "nothing hit the victim: {report}"
    );
    for failure in &report.failures {
        assert!(
            accepted.contains(&failure.port),
            "{failure:?} was not among what {victim} had accepted, {accepted:?}"
        );
    }
    Ok(())
}

#[test]
fn a_worker_that_exits_by_itself_is_replaced() -> Result<()> {
    let hello = hello(2).start()?;
    let old = hello.ready()?.serving();
    // The worker ends in the middle of the request, so there is no answer.
    assert!(e2e::http::get(hello.addr()?, "/exit?code=7").is_err());
    let new = wait_for_new_worker(&hello, &old)?;
    let workers = poll("two workers", SOON, || {
        let workers = hello.workers();
        (workers.len() == 2).then_some(workers)
    })?;
    assert!(workers.contains(&new));
    assert_eq!(workers.iter().filter(|pid| old.contains(pid)).count(), 1);
    hello.wait_for_line(|line| line.contains("exited with status 7"), SOON)?;
    Ok(())
}

#[test]
fn a_handler_that_panics_closes_its_connection_and_the_worker_stays() -> Result<()> {
    let hello = hello(1).start()?;
    let old = hello.workers();
    for _ in 0..3 {
        // The harness answers nothing; a middleware of `actix-telemetry` would.
        assert!(e2e::http::get(hello.addr()?, "/panic").is_err());
    }
    assert_eq!(e2e::http::get(hello.addr()?, "/")?.pid(), Some(old[0]));
    assert_eq!(hello.workers(), old);
    Ok(())
}
