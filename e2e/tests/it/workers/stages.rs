//! Deaths, stops and refused resources while workers boot.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use e2e::{
    Load, Program, Running, SOON, Signal, Temporary, http::Connection, poll, process, sockets,
};
use nix::unistd::geteuid;
use tokio::net::{TcpListener, TcpSocket};

use super::{Switch, freeze, hello, wait_for_answers_from, wait_for_workers};
use crate::support::{assert_all_answered, stop};

/// The example program, whose workers do not finish booting while the switch is set.
fn slow_to_boot(workers: usize, switch: &Switch) -> Program {
    let hello = hello(workers).env("HANG_AT_BOOT", switch.path());
    hello.option("--timeout", 3600)
}

/// Waits for a process that is not among `old`, and returns it.
fn wait_for_boot(hello: &Running, old: &[u32]) -> Result<u32> {
    let found = poll("a new worker process", SOON, || {
        let mut workers = hello.workers().into_iter();
        workers.find(|pid| !old.contains(pid))
    });
    found.with_context(|| hello.console().to_string())
}

/// Starts 16 workers of which one, whose pid it returns, is ready, while the others boot.
fn start_with_others_booting(switch: &Switch) -> Result<(Running, u32)> {
    switch.set()?;
    let hello = slow_to_boot(16, switch).spawn()?;
    // The others boot once the first one is ready.
    let first = wait_for_boot(&hello, &[])?;
    fs::write(switch.path(), first.to_string())?;
    wait_for_workers(&hello, 16, &[])?;
    Ok((hello, first))
}

/// Waits until the worker has been replaced, and then for the ready line and for answers of every worker.
fn assert_starts_without(mut hello: Running, worker: u32, switch: Switch) -> Result<()> {
    wait_for_workers(&hello, 16, &[worker])?;
    drop(switch);
    hello.wait_ready(SOON)?;
    wait_for_answers_from(&hello, &hello.ready()?.serving())?;
    stop(hello)
}

#[test]
fn a_ready_worker_killed_while_others_boot_is_replaced() -> Result<()> {
    let switch = Switch::new("ready")?;
    let (hello, first) = start_with_others_booting(&switch)?;
    process::send(first, Signal::SIGKILL)?;
    assert_starts_without(hello, first, switch)
}

#[test]
fn a_worker_killed_while_it_boots_beside_a_ready_one_is_replaced() -> Result<()> {
    let switch = Switch::new("boots")?;
    let (hello, first) = start_with_others_booting(&switch)?;
    let mut others = hello.workers().into_iter().filter(|pid| *pid != first);
    let victim = others.next().context("no other worker boots")?;
    process::send(victim, Signal::SIGKILL)?;
    assert_starts_without(hello, victim, switch)
}

#[test]
fn term_at_any_moment_of_the_start_ends_the_program() -> Result<()> {
    for delay in [0, 1, 2, 4, 8, 16, 32, 64] {
        let mut hello = hello(4).spawn()?;
        thread::sleep(Duration::from_millis(delay));
        hello.signal(Signal::SIGTERM)?;
        let status = hello.wait_exit(SOON)?;
        // Before the program runs, only the default action can apply.
        let stopped = status.code() == Some(0) || status.signal() == Some(15);
        assert!(stopped, "{status} after {delay} ms: {}", hello.console());
        hello.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn term_while_the_first_worker_boots_ends_the_program_with_code_0() -> Result<()> {
    let switch = Switch::new("first")?;
    switch.set()?;
    let mut hello = slow_to_boot(4, &switch)
        .option("--graceful-timeout", 1)
        .spawn()?;
    wait_for_boot(&hello, &[])?;
    hello.signal(Signal::SIGTERM)?;
    let status = hello.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", hello.console());
    hello.wait_gone(SOON)
}

/// Stops the worker, and sends requests that stay in its queue.
fn queue_at(hello: &Running, worker: u32) -> Result<Vec<Connection>> {
    freeze(worker)?;
    let connect = |_| {
        let mut connection = Connection::open(hello.addr()?)?;
        connection.send_get("/")?;
        Ok(connection)
    };
    let queued = (0..40).map(connect).collect::<Result<_>>()?;
    assert!(!sockets::queued(hello.addr()?.port())?.is_empty());
    Ok(queued)
}

/// Asserts that each connection gets a response.
fn assert_answered(connections: Vec<Connection>, hello: &Running) -> Result<()> {
    for (number, mut connection) in connections.into_iter().enumerate() {
        let response = connection.receive();
        let response = response.with_context(|| format!("{number}: {}", hello.console()))?;
        assert_eq!(response.status, 200);
    }
    Ok(())
}

/// Sends TERM and waits until the master has acted on it.
fn term(hello: &Running) -> Result<()> {
    hello.signal(Signal::SIGTERM)?;
    hello.wait_for_line(|line| line.contains("SIGTERM"), SOON)?;
    Ok(())
}

#[test]
fn term_while_a_replacement_boots_answers_the_queue_of_a_killed_worker() -> Result<()> {
    let switch = Switch::new("killed")?;
    let mut hello = slow_to_boot(1, &switch)
        .option("--hang-timeout", 3600)
        .start()?;
    let worker = hello.workers()[0];
    let queued = queue_at(&hello, worker)?;
    switch.set()?;
    process::send(worker, Signal::SIGKILL)?;
    wait_for_boot(&hello, &[worker])?;
    term(&hello)?;
    drop(switch);
    assert_answered(queued, &hello)?;
    let status = hello.wait_exit(SOON)?;
    assert_eq!(status.code(), Some(0), "{}", hello.console());
    hello.wait_gone(SOON)
}

#[test]
fn term_while_a_helper_boots_answers_the_queue_of_a_stopped_worker() -> Result<()> {
    let switch = Switch::new("stopped")?;
    let mut hello = slow_to_boot(2, &switch)
        .option("--graceful-timeout", 1)
        .start()?;
    let old = hello.workers();
    switch.set()?;
    let queued = queue_at(&hello, old[0])?;
    wait_for_boot(&hello, &old)?;
    term(&hello)?;
    drop(switch);
    assert_answered(queued, &hello)?;
    // The stopped worker cannot exit by itself, so the code tells nothing.
    hello.wait_exit(SOON)?;
    hello.wait_gone(SOON)
}

#[test]
fn term_together_with_the_death_of_a_worker_answers_its_queue() -> Result<()> {
    for round in 0..10 {
        let mut hello = hello(1).option("--hang-timeout", 3600).start()?;
        let worker = hello.workers()[0];
        let queued = queue_at(&hello, worker)?;
        process::send(worker, Signal::SIGKILL)?;
        thread::sleep(Duration::from_millis(round / 2));
        hello.signal(Signal::SIGTERM)?;
        assert_answered(queued, &hello).with_context(|| format!("in round {round}"))?;
        hello.wait_exit(SOON)?;
        hello.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn term_to_a_worker_that_boots_does_not_lose_its_queue() -> Result<()> {
    let switch = Switch::new("told")?;
    let hello = slow_to_boot(1, &switch)
        .option("--hang-timeout", 3600)
        .start()?;
    let worker = hello.workers()[0];
    let queued = queue_at(&hello, worker)?;
    switch.set()?;
    process::send(worker, Signal::SIGKILL)?;
    let booting = wait_for_boot(&hello, &[worker])?;
    process::send(booting, Signal::SIGTERM)?;
    drop(switch);
    assert_answered(queued, &hello)?;
    stop(hello)
}

#[test]
fn a_respawn_refused_for_want_of_descriptors_is_retried() -> Result<()> {
    // The numbers below this are in use.
    a_refused_respawn_is_retried(&hello(2), "nofile", "4")
}

#[test]
fn a_respawn_refused_for_want_of_processes_is_retried() -> Result<()> {
    if !geteuid().is_root() {
        return a_refused_respawn_is_retried(&hello(2), "nproc", "1");
    }
    // The limit does not apply to root. The other user needs access to the program.
    let directory = Temporary::new("nproc")?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
    let service = directory.path().join("service");
    fs::copy(hello(2).executable()?, &service)?;
    let user = [
        "setpriv",
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
    ];
    let hello = Program::found(&service)
        .env("PORT", "0")
        .option("--workers", 2)
        .under(&user);
    a_refused_respawn_is_retried(&hello, "nproc", "1")
}

fn a_refused_respawn_is_retried(hello: &Program, resource: &str, limit: &str) -> Result<()> {
    let hello = hello.start()?;
    let old = hello.workers();
    let before = process::limit(hello.pid(), resource, limit)?;
    process::send(old[0], Signal::SIGKILL)?;
    let refused = |line: &str| line.contains("cannot start worker") || line.contains("status 1");
    hello.wait_for_line(refused, SOON)?;
    let load = Load::on(hello.addr()?).clients(4).keep_alive(false);
    let traffic = load.start()?;
    traffic.wait_for_answers(200, SOON)?;
    process::limit(hello.pid(), resource, &before)?;
    let workers = wait_for_workers(&hello, 2, &old[..1])?;
    wait_for_answers_from(&hello, &workers)?;
    assert_all_answered(&traffic.stop()?, &hello);
    stop(hello)
}

#[test]
fn a_foreign_socket_on_the_same_port_gets_no_connections() -> Result<()> {
    let hello = hello(4).start()?;
    let address = hello.addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _entered = runtime.enter();
    let _foreign = join_port(address)?;
    let load = Load::on(address)
        .clients(16)
        .keep_alive(false)
        .patience(Duration::from_secs(5));
    let report = load.clone().requests(200).run()?;
    assert_all_answered(&report, &hello);
    // A socket that is added now comes after the foreign one in the group.
    hello.signal(Signal::SIGTTIN)?;
    hello.wait_for_line(|line| line.contains("SIGTTIN"), SOON)?;
    let report = load.at_most(Duration::from_secs(2)).run()?;
    assert_all_answered(&report, &hello);
    assert!(sockets::queued(address.port())?.is_empty());
    Ok(())
}

/// Listens on a port that is in use, as another program of the same user can (`SO_REUSEPORT`).
fn join_port(address: SocketAddr) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket.listen(128)?)
}
