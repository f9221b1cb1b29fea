//! When the master is killed, all workers exit, and the next master can start at once.

use anyhow::Result;
use e2e::{Load, SOON, Signal, http, http::Connection};

use super::{FOREVER, freeze, hello};

#[test]
fn no_worker_survives_its_master_with_clients_connected() -> Result<()> {
    let mut hello = hello(4).start()?;
    let traffic = Load::on(hello.addr()?).clients(16).start()?;
    traffic.wait_for_answers(500, SOON)?;
    let mut idle = Connection::open(hello.addr()?)?;
    idle.send_get("/")?;
    idle.receive()?;
    let mut endless = Connection::open(hello.addr()?)?;
    endless.send_get(FOREVER)?;

    hello.signal(Signal::SIGKILL)?;
    hello.wait_exit(SOON)?;
    hello.wait_gone(SOON)?;
    traffic.stop()?;
    Ok(())
}

#[test]
fn a_new_master_starts_at_once_on_the_port_of_a_killed_one() -> Result<()> {
    let mut first = hello(4).start()?;
    let addr = first.addr()?;
    let traffic = Load::on(addr).clients(16).start()?;
    traffic.wait_for_answers(500, SOON)?;
    first.signal(Signal::SIGKILL)?;
    first.wait_exit(SOON)?;
    // Not waited for the workers: they may still be going.
    let second = hello(4).option("--port", addr.port()).start()?;
    traffic.wait_for_answers(500, SOON)?;
    let pid = http::get(addr, "/")?.pid();
    assert!(second.workers().iter().any(|worker| Some(*worker) == pid));
    traffic.stop()?;
    Ok(())
}

#[test]
fn a_frozen_worker_does_not_survive_its_master() -> Result<()> {
    let mut hello = hello(2).start()?;
    for worker in hello.workers() {
        freeze(worker)?;
    }
    hello.signal(Signal::SIGKILL)?;
    hello.wait_exit(SOON)?;
    hello.wait_gone(SOON)
}

#[test]
fn a_master_that_is_killed_while_it_starts_leaves_nothing() -> Result<()> {
    for _ in 0..5 {
        let mut hello = hello(4).spawn()?;
        e2e::poll("a first worker", SOON, || hello.workers().pop())?;
        hello.signal(Signal::SIGKILL)?;
        hello.wait_exit(SOON)?;
        hello.wait_gone(SOON)?;
    }
    Ok(())
}
