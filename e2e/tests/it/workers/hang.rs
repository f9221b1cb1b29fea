//! Unresponsive workers get a helper, and are killed if they stay unresponsive.

use std::{fs, sync::mpsc, thread, time::Duration};

use anyhow::Result;
use e2e::{Load, Program, Running, SOON, Signal, http, poll, process, real_part};
use nix::{sys::ptrace, unistd::Pid};

use super::{
    CLIENTS, FOREVER, answered_connections, freeze, hello, wait_for_answers_from,
    wait_for_new_worker, wait_for_workers,
};
use crate::support::assert_all_answered;

/// Four workers. By default the timeout after which they are killed is longer than any test.
fn hello_with_limits(hang_timeout: f32, timeout: u32) -> Program {
    let hello = hello(4).option("--hang-timeout", hang_timeout);
    hello.option("--timeout", timeout)
}

#[test]
fn new_connections_are_answered_while_a_worker_is_stopped() -> Result<()> {
    let hello = hello_with_limits(1.0, 3600).start()?;
    let old = hello.ready()?.serving();
    // Each on a connection of its own, at a pace that leaves no queue where a worker serves.
    let traffic = Load::on(hello.addr()?)
        .every(Duration::from_millis(10))
        .start()?;
    traffic.wait_for_answers(100, SOON)?;
    // Between two requests: what it had taken would be stuck in it.
    let port = hello.addr()?.port();
    freeze(old[2])?;
    let stuck = e2e::sockets::accepted_by(old[2], port)?;
    let helper = wait_for_helper(&hello, &old)?;
    traffic.wait_for_answers(200, SOON)?;
    process::send(old[2], Signal::SIGCONT)?;
    // It stays, and its helper goes.
    wait_for_workers(&hello, 4, &[helper])?;
    wait_for_answers_from(&hello, &old)?;
    let report = traffic.stop()?;
    assert_eq!(
        report.answered,
        report.total(),
        "{stuck:?} {report}\n{}",
        hello.console()
    );
    Ok(())
}

#[test]
fn new_connections_are_answered_while_a_handler_blocks() -> Result<()> {
    let hello = hello_with_limits(1.0, 3600).start()?;
    let old = hello.ready()?.serving();
    let traffic = Load::on(hello.addr()?)
        .every(Duration::from_millis(10))
        .start()?;
    traffic.wait_for_answers(100, SOON)?;
    let mut blocking = http::Connection::open(hello.addr()?)?;
    blocking.send_get("/block?ms=6000")?;
    let line = hello.wait_for_line(|line| line.contains("hangs:"), SOON)?;
    let hung = old
        .iter()
        .copied()
        .find(|pid| line.contains(&format!("pid {pid}")));
    let hung = hung.expect("the line names a worker");
    let helper = wait_for_helper(&hello, &old)?;
    traffic.wait_for_answers(200, SOON)?;
    // It wakes up in time, answers, and stays with its connections.
    assert_eq!(blocking.receive()?.pid(), Some(hung));
    wait_for_workers(&hello, 4, &[helper])?;
    blocking.send_get("/")?;
    assert_eq!(blocking.receive()?.pid(), Some(hung));
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    Ok(())
}

/// Waits until a helper of an unresponsive worker exists and answers, and returns it.
fn wait_for_helper(hello: &Running, old: &[u32]) -> Result<u32> {
    let helper = poll("a fifth worker", SOON, || {
        let mut new = hello.workers();
        new.retain(|pid| !old.contains(pid));
        new.pop()
    })?;
    wait_for_answers_from(hello, &[helper])?;
    Ok(helper)
}

#[test]
fn an_unresponsive_worker_is_killed_after_the_timeout_whether_stopped_or_blocked() -> Result<()> {
    let hello = hello_with_limits(1.0, 3).start()?;
    let old = hello.ready()?.serving();
    freeze(old[0])?;
    let aborted = |pid: u32| {
        let pid = format!("(pid {pid})");
        move |line: &str| line.contains(&pid) && line.contains("aborting it")
    };
    hello.wait_for_line(aborted(old[0]), SOON)?;
    let rest = poll("another worker in its place", SOON, || {
        let workers = hello.workers();
        (workers.len() == 4 && !workers.contains(&old[0])).then_some(workers)
    })?;

    let mut blocked = http::Connection::open(hello.addr()?)?;
    blocked.send_get("/block?ms=3600000")?;
    // It ends with the worker, not with an answer.
    assert!(blocked.receive().is_err());
    poll("the line about its end", SOON, || {
        let told = |pid: &u32| hello.console().count(aborted(*pid)) == 1;
        rest.iter().any(told).then_some(())
    })?;
    let workers = wait_for_workers(&hello, 4, &[old[0]])?;
    wait_for_answers_from(&hello, &workers)
}

#[test]
fn requests_queued_at_a_stopped_worker_are_answered_when_it_continues() -> Result<()> {
    let hello = hello(1)
        .option("--hang-timeout", 1)
        .option("--timeout", 3600)
        .start()?;
    let worker = hello.ready()?.serving()[0];
    let mut connections = answered_connections(&hello, 100)?;
    freeze(worker)?;
    for connection in &mut connections {
        connection.send_get("/")?;
    }
    wait_for_new_worker(&hello, &[worker])?;
    // Longer than many servers keep a connection open on which nothing comes.
    thread::sleep(Duration::from_secs(6));
    process::send(worker, Signal::SIGCONT)?;
    for connection in &mut connections {
        assert_eq!(connection.receive()?.pid(), Some(worker));
    }
    Ok(())
}

#[test]
fn a_worker_held_by_a_debugger_is_helped_and_not_killed() -> Result<()> {
    let hello = hello_with_limits(1.0, 3).start()?;
    let old = hello.ready()?.serving();
    let Ok(debugger) = Debugger::hold(old[0]) else {
        return real_part::skip("ptrace(2) is not permitted here");
    };
    wait_for_helper(&hello, &old)?;
    // By the time that this one is aborted, the other one was due for long.
    freeze(old[1])?;
    let aborted = |pid: u32| {
        let pid = format!("(pid {pid})");
        move |line: &str| line.contains(&pid) && line.contains("aborting it")
    };
    hello.wait_for_line(aborted(old[1]), SOON)?;
    assert_eq!(hello.console().count(aborted(old[0])), 0);
    assert!(hello.workers().contains(&old[0]));
    drop(debugger);
    wait_for_workers(&hello, 4, &[old[1]])?;
    wait_for_answers_from(&hello, &[old[0]])?;
    assert_eq!(hello.console().count(aborted(old[0])), 0);
    Ok(())
}

/// Holds all threads of a process, as a debugger does at a breakpoint, until it is dropped.
struct Debugger {
    release: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Debugger {
    fn hold(pid: u32) -> Result<Self> {
        let (release, released) = mpsc::channel::<()>();
        let (held, is_held) = mpsc::channel();
        // The system releases what a thread traces when the thread ends.
        let thread = thread::spawn(move || {
            let _ = held.send(hold_threads(pid));
            let _ = released.recv();
        });
        is_held.recv()??;
        Ok(Self {
            release: Some(release),
            thread: Some(thread),
        })
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn hold_threads(pid: u32) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = task?.file_name().to_string_lossy().parse()?;
        let thread = Pid::from_raw(thread);
        ptrace::seize(thread, ptrace::Options::empty())?;
        ptrace::interrupt(thread)?;
    }
    Ok(())
}

#[test]
fn only_requests_accepted_by_the_stopped_worker_are_lost_under_load() -> Result<()> {
    for keep_alive in [true, false] {
        let hello = hello_with_limits(1.0, 3).start()?;
        let port = hello.addr()?.port();
        let victim = hello.ready()?.serving()[1];
        let load = Load::on(hello.addr()?)
            .clients(CLIENTS)
            .keep_alive(keep_alive);
        let traffic = load.start()?;
        traffic.wait_for_answers(1000, SOON)?;
        freeze(victim)?;
        let accepted = e2e::sockets::accepted_by(victim, port)?;
        let workers = wait_for_workers(&hello, 4, &[victim])?;
        wait_for_answers_from(&hello, &workers)?;
        traffic.wait_for_answers(500, SOON)?;
        let report = traffic.stop()?;
        for failure in &report.failures {
            let known = accepted.contains(&failure.port);
            assert!(known, "{failure:?}: {report}\n{}", hello.console());
        }
    }
    Ok(())
}

#[test]
fn a_slow_start_is_not_a_hang() -> Result<()> {
    let slow = super::Switch::new("slow-start")?;
    slow.set()?;
    let mut hello = hello_with_limits(0.2, 1)
        .env("HANG_AT_BOOT", slow.path())
        .spawn()?;
    let first = poll("a first worker", SOON, || hello.workers().pop())?;
    thread::sleep(Duration::from_secs(3));
    assert_eq!(hello.workers(), [first], "{}", hello.console());
    drop(slow);
    hello.wait_ready(SOON)?;
    assert_eq!(hello.ready()?.serving()[0], first);
    Ok(())
}

#[test]
fn a_master_that_was_stopped_with_its_workers_replaces_none_of_them() -> Result<()> {
    let hello = hello_with_limits(1.0, 2).start()?;
    let mut workers = hello.workers();
    let all: Vec<_> = workers.iter().copied().chain([hello.pid()]).collect();
    for pid in &all {
        freeze(*pid)?;
    }
    thread::sleep(Duration::from_secs(4));
    // The master first, so that it finds every heartbeat old.
    for pid in all.iter().rev() {
        process::send(*pid, Signal::SIGCONT)?;
    }
    wait_for_answers_from(&hello, &workers)?;
    thread::sleep(Duration::from_secs(1));
    let mut now = hello.workers();
    now.sort_unstable();
    workers.sort_unstable();
    assert_eq!(now, workers, "{}", hello.console());
    Ok(())
}

#[test]
fn workers_that_hang_all_at_once_get_one_helper_each() -> Result<()> {
    let hello = hello_with_limits(0.5, 3600).start()?;
    let old = hello.workers();
    for pid in &old {
        freeze(*pid)?;
    }
    let workers = poll("four more workers", SOON, || {
        let workers = hello.workers();
        (workers.len() == 8).then_some(workers)
    })?;
    let new: Vec<_> = workers
        .into_iter()
        .filter(|pid| !old.contains(pid))
        .collect();
    wait_for_answers_from(&hello, &new)?;
    // Those hang too: nobody comes after them for as long as the first ones are there.
    for pid in &new {
        freeze(*pid)?;
    }
    thread::sleep(Duration::from_secs(3));
    assert_eq!(hello.workers().len(), 8, "{}", hello.console());
    for pid in old.iter().chain(&new) {
        process::send(*pid, Signal::SIGCONT)?;
    }
    let left = wait_for_workers(&hello, 4, &new)?;
    wait_for_answers_from(&hello, &left)
}

#[test]
fn timeouts_of_zero_disable_hang_detection() -> Result<()> {
    for (hang_timeout, processes) in [(0.0, 4), (0.2, 5)] {
        let hello = hello_with_limits(hang_timeout, 0).start()?;
        let old = hello.ready()?.serving();
        let mut blocked = http::Connection::open(hello.addr()?)?;
        blocked.send_get("/block?ms=3000")?;
        let pid = blocked.receive()?.pid();
        assert!(old.iter().any(|worker| Some(*worker) == pid));
        assert_eq!(hello.workers().len(), processes, "{}", hello.console());
    }
    Ok(())
}

#[test]
fn a_stop_does_not_wait_for_a_hung_worker_longer_than_for_others() -> Result<()> {
    let mut hello = hello_with_limits(0.5, 3600)
        .option("--graceful-timeout", 1)
        .start()?;
    let mut endless = http::Connection::open(hello.addr()?)?;
    endless.send_get(FOREVER)?;
    let old = hello.ready()?.serving();
    freeze(old[0])?;
    wait_for_helper(&hello, &old)?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(
        hello.wait_exit(SOON)?.code(),
        Some(1),
        "{}",
        hello.console()
    );
    hello.wait_gone(SOON)
}
