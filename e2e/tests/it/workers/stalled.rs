//! A worker that does not respond for a while costs only what it had accepted, and keeps its connections if it recovers.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, Signal, http::Connection, poll, process, sockets};

use super::{connection_to, freeze, hello, wait_for_answers_from};
use crate::support::{assert_all_answered, stop};

/// Four workers that are not killed during a test, however long they do not respond.
fn hello_of_four() -> Program {
    hello(4).option("--timeout", 3600)
}

/// Connections of busy clients: fewer than a queue holds, more than the workers.
const CLIENTS: usize = 16;

/// Waits until the workers are these again, after a helper has come and gone.
fn wait_for_only(hello: &Running, workers: &[u32]) -> Result<()> {
    let wanted = BTreeSet::from_iter(workers.iter().copied());
    let only = poll(&format!("only {wanted:?}"), SOON, || {
        (BTreeSet::from_iter(hello.workers()) == wanted).then_some(())
    });
    only.with_context(|| format!("there are {:?}; {}", hello.workers(), hello.console()))
}

fn wait_for_helper(hello: &Running) -> Result<()> {
    let came = poll("a helper", SOON, || {
        (hello.workers().len() > 4).then_some(())
    });
    came.with_context(|| hello.console().to_string())
}

#[test]
fn a_stopped_worker_costs_only_the_requests_that_it_had_accepted() -> Result<()> {
    let hello = hello_of_four().start()?;
    let port = hello.addr()?.port();
    let victim = hello.workers()[1];
    let traffic = Load::on(hello.addr()?)
        .clients(CLIENTS)
        .keep_alive(false)
        .patience(Duration::from_secs(5))
        .start()?;
    traffic.wait_for_answers(1000, SOON)?;
    freeze(victim)?;
    let accepted = sockets::accepted_by(victim, port)?;
    traffic.wait_for_answers(2000, SOON)?;
    let report = traffic.stop()?;
    // The queue of the stopped worker has been answered, too.
    assert!(process::is_stopped(victim));
    for failure in &report.failures {
        let known = accepted.contains(&failure.port);
        assert!(known, "{failure:?}: {report}\n{}", hello.console());
    }
    Ok(())
}

#[test]
fn a_stopped_worker_that_continues_keeps_all_of_its_connections() -> Result<()> {
    let hello = hello_of_four().start()?;
    let old = hello.workers();
    let mut open = Open::at(&hello, old[0], "/sleep?ms=4000")?;
    freeze(old[0])?;
    wait_for_helper(&hello)?;
    process::send(old[0], Signal::SIGCONT)?;
    open.answer_now(&hello)?;
    wait_for_only(&hello, &old)?;
    open.answer_all(&hello)?;
    wait_for_answers_from(&hello, &old)?;
    stop(hello)
}

#[test]
fn a_worker_that_blocks_for_two_seconds_keeps_all_of_its_connections() -> Result<()> {
    let hello = hello_of_four().start()?;
    let old = hello.workers();
    let mut open = Open::at(&hello, old[0], "/sleep?ms=4000")?;
    let mut blocking = connection_to(&hello, old[0])?;
    blocking.send_get("/block?ms=1800")?;
    assert_eq!(blocking.receive()?.pid(), Some(old[0]));
    open.answer_now(&hello)?;
    wait_for_only(&hello, &old)?;
    open.answer_all(&hello)?;
    wait_for_answers_from(&hello, &old)?;
    stop(hello)
}

/// Connections of one worker: some without a request, one with a slow request in progress.
struct Open {
    worker: u32,
    idle: Vec<Connection>,
    slow: Connection,
}

impl Open {
    fn at(hello: &Running, worker: u32, slow: &str) -> Result<Self> {
        let connect = |_| connection_to(hello, worker);
        let mut open = Self {
            worker,
            idle: (0..3).map(connect).collect::<Result<_>>()?,
            slow: connection_to(hello, worker)?,
        };
        open.slow.send_get(slow)?;
        Ok(open)
    }

    /// Asserts that the worker answers on the idle connections and keeps them open.
    fn answer_now(&mut self, hello: &Running) -> Result<()> {
        for connection in &mut self.idle {
            connection.send_get("/")?;
            assert_kept(connection, self.worker, hello)?;
        }
        Ok(())
    }

    /// Asserts the same of all connections.
    fn answer_all(mut self, hello: &Running) -> Result<()> {
        self.answer_now(hello)?;
        assert_kept(&mut self.slow, self.worker, hello)
    }
}

fn assert_kept(connection: &mut Connection, worker: u32, hello: &Running) -> Result<()> {
    let response = connection.receive();
    let response = response.with_context(|| hello.console().to_string())?;
    assert_eq!(response.pid(), Some(worker));
    assert!(!response.closes(), "{response:?}; {}", hello.console());
    Ok(())
}

#[test]
fn a_handler_that_blocks_again_and_again_starts_at_most_four_processes() -> Result<()> {
    let hello = hello_of_four().start()?;
    let old = hello.workers();
    let traffic = Load::on(hello.addr()?)
        .every(Duration::from_millis(10))
        .start()?;
    let mut blocking = connection_to(&hello, old[0])?;
    let worker = thread::spawn(move || -> Result<_> {
        let mut pids = BTreeSet::new();
        for _ in 0..15 {
            blocking.send_get("/block?ms=300")?;
            pids.extend(blocking.receive()?.pid());
        }
        Ok(pids)
    });
    let mut seen = BTreeSet::new();
    while !worker.is_finished() {
        seen.extend(hello.workers());
        // Shorter than the life of a helper.
        thread::sleep(Duration::from_millis(5));
    }
    let pids = worker.join().expect("the client does not panic")?;
    assert_eq!(pids, BTreeSet::from([old[0]]), "{}", hello.console());
    let helpers = seen.len() - old.len();
    assert!(helpers <= 4, "{helpers} helpers; {}", hello.console());
    wait_for_only(&hello, &old)?;
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    stop(hello)
}

#[test]
fn with_a_hang_timeout_of_zero_a_stopped_worker_is_not_replaced() -> Result<()> {
    let hello = hello(2)
        .option("--hang-timeout", 0)
        .option("--timeout", 3600)
        .start()?;
    let old = hello.workers();
    let mut stopped = connection_to(&hello, old[0])?;
    let mut serving = connection_to(&hello, old[1])?;
    freeze(old[0])?;
    stopped.send_get("/")?;
    for _ in 0..40 {
        serving.send_get("/sleep?ms=100")?;
        assert_kept(&mut serving, old[1], &hello)?;
        assert_eq!(hello.workers(), old, "{}", hello.console());
    }
    process::send(old[0], Signal::SIGCONT)?;
    assert_kept(&mut stopped, old[0], &hello)?;
    stop(hello)
}
