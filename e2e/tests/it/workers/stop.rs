//! Graceful stop, quick stop, second signal, Ctrl-C in a terminal.

use std::{net::TcpStream, thread, time::Duration};

use anyhow::Result;
use e2e::{Running, SOON, Signal, http, http::Connection, poll, process};

use super::{AN_HOUR, FOREVER, answered_connections, freeze, hello, is_alarming};

/// A connection with a request in progress.
fn request_in_flight(running: &Running, path: &str) -> Result<Connection> {
    let mut connection = Connection::open(running.addr()?)?;
    // The second request of a connection is read by the same process as the first.
    connection.send_get("/")?;
    connection.receive()?;
    connection.send_get(path)?;
    Ok(connection)
}

/// Waits until connections are refused.
fn wait_refused(running: &Running) -> Result<()> {
    let addr = running.addr()?;
    poll("connections to be refused", SOON, || {
        TcpStream::connect_timeout(&addr, SOON)
            .is_err()
            .then_some(())
    })
}

#[test]
fn a_slow_request_finishes_although_the_program_was_told_to_stop() -> Result<()> {
    let mut hello = hello(2).start()?;
    let mut slow = request_in_flight(&hello, "/sleep?ms=2000")?;
    hello.signal(Signal::SIGTERM)?;
    let response = slow.receive()?;
    assert_eq!(response.status, 200);
    assert!(response.closes(), "{response:?}");
    slow.wait_closed()?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    hello.wait_gone(SOON)
}

#[test]
fn an_idle_connection_does_not_delay_a_stop() -> Result<()> {
    let mut hello = hello(2)
        .option("--graceful-timeout", AN_HOUR.as_secs())
        .start()?;
    let mut idle = Connection::open(hello.addr()?)?;
    idle.send_get("/")?;
    assert_eq!(idle.receive()?.status, 200);
    let mut silent = Connection::open(hello.addr()?)?;
    hello.signal(Signal::SIGTERM)?;
    idle.wait_closed()?;
    silent.wait_closed()?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    hello.wait_gone(SOON)
}

#[test]
fn requests_that_arrive_while_a_stopping_worker_is_frozen_are_answered() -> Result<()> {
    let mut hello = hello(1).start()?;
    let mut connections = answered_connections(&hello, 200)?;
    hello.signal(Signal::SIGTERM)?;
    wait_refused(&hello)?;
    let worker = hello.workers()[0];
    freeze(worker)?;
    for connection in &mut connections {
        connection.send_get("/")?;
    }
    // So that the time is over in which an idle connection is kept open.
    thread::sleep(Duration::from_millis(2500));
    process::send(worker, Signal::SIGCONT)?;
    for connection in &mut connections {
        let response = connection.receive()?;
        assert_eq!(response.status, 200);
        assert!(response.closes(), "{response:?}");
    }
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    hello.wait_gone(SOON)
}

#[test]
fn the_graceful_timeout_ends_endless_requests() -> Result<()> {
    let mut hello = hello(2).option("--graceful-timeout", 1).start()?;
    let mut endless = request_in_flight(&hello, FOREVER)?;
    hello.signal(Signal::SIGTERM)?;
    assert!(endless.receive().is_err());
    hello.wait_exit(SOON)?;
    hello.wait_gone(SOON)
}

#[test]
fn int_and_quit_stop_at_once() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let mut hello = hello(2)
            .option("--graceful-timeout", AN_HOUR.as_secs())
            .start()?;
        let mut endless = request_in_flight(&hello, FOREVER)?;
        hello.signal(signal)?;
        assert!(endless.receive().is_err());
        assert_eq!(
            hello.wait_exit(SOON)?.code(),
            Some(0),
            "{}",
            hello.console()
        );
        hello.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn ctrl_c_to_the_whole_process_group_stops_cleanly() -> Result<()> {
    let mut hello = hello(2).start()?;
    let mut idle = Connection::open(hello.addr()?)?;
    idle.send_get("/")?;
    assert_eq!(idle.receive()?.status, 200);
    hello.signal_group(Signal::SIGINT)?;
    assert_eq!(
        hello.wait_exit(SOON)?.code(),
        Some(0),
        "{}",
        hello.console()
    );
    hello.wait_gone(SOON)?;
    // Workers that took the signal themselves would look like crashes to the master.
    assert_eq!(hello.console().count(is_alarming), 0, "{}", hello.console());
    Ok(())
}

#[test]
fn a_second_term_makes_a_graceful_stop_quick() -> Result<()> {
    let mut hello = hello(2)
        .option("--graceful-timeout", AN_HOUR.as_secs())
        .start()?;
    let mut endless = request_in_flight(&hello, FOREVER)?;
    hello.signal(Signal::SIGTERM)?;
    wait_refused(&hello)?;
    assert!(!hello.workers().is_empty(), "the first TERM cut a request");
    hello.signal(Signal::SIGTERM)?;
    assert!(endless.receive().is_err());
    hello.wait_exit(SOON)?;
    hello.wait_gone(SOON)
}

#[test]
fn a_stopped_program_frees_its_port_at_once() -> Result<()> {
    let mut first = hello(2).start()?;
    let addr = first.addr()?;
    // The server's side of this connection will be in TIME_WAIT.
    assert_eq!(http::get(addr, "/")?.status, 200);
    first.signal(Signal::SIGTERM)?;
    first.wait_exit(SOON)?;
    let second = hello(2).option("--port", addr.port()).start()?;
    assert_eq!(second.addr()?, addr);
    assert_eq!(http::get(addr, "/")?.status, 200);
    Ok(())
}
