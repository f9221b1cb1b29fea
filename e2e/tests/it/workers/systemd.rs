//! As a service of systemd: sockets that it passes, and what it is told.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use anyhow::Result;
use e2e::{
    Address, Load, Program, SOON, Signal, Temporary,
    http::{self, Connection},
    process,
    real_part::real_part,
};

use super::{bad_input::assert_refused, hello, stop_under_load::ROUNDS, wait_for_new_worker};

#[test]
fn a_passed_socket_is_served_by_every_worker_and_no_other_port_is_opened() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    // One that could not be bound.
    let hello = hello(2)
        .option("--host", "192.0.2.1")
        .socket(socket, 1)
        .start()?;
    assert_eq!(hello.addr()?, address);
    let load = Load::on(address).clients(16).keep_alive(false);
    let report = load.requests(2000).run()?;
    assert_eq!(report.answered, 2000, "{report}");
    assert_eq!(report.pids.len(), 2, "{report}");
    let old = hello.ready()?.serving();
    for pid in &old {
        process::send(*pid, Signal::SIGKILL)?;
    }
    wait_for_new_worker(&hello, &old)?;
    Ok(())
}

#[test]
fn a_passed_unix_socket_keeps_its_file() -> Result<()> {
    let directory = Temporary::new("sd-unix")?;
    let path = directory.path().join("app.sock");
    let socket = UnixListener::bind(&path)?;
    for program in [hello(2), Program::new("metrics-single-process-pull")] {
        let mut running = program.socket(socket.try_clone()?, 1).start()?;
        assert_eq!(running.address()?, Address::Unix(path.clone()));
        assert_eq!(http::get(path.clone(), "/")?.status, 200);
        running.signal(Signal::SIGTERM)?;
        assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
        running.wait_gone(SOON)?;
        assert!(path.exists());
        // Nobody serves now, and still nobody is refused.
        UnixStream::connect(&path)?;
    }
    Ok(())
}

#[test]
fn a_restart_under_load_neither_loses_nor_refuses_anything() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    for keep_alive in [true, false] {
        let mut running = hello(2).socket(socket.try_clone()?, 1).start()?;
        let load = Load::on(address).clients(32).keep_alive(keep_alive);
        let traffic = load.start()?;
        for _ in 0..ROUNDS {
            traffic.wait_for_answers(500, SOON)?;
            running.signal(Signal::SIGTERM)?;
            assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
            running = hello(2).socket(socket.try_clone()?, 1).start()?;
        }
        traffic.wait_for_answers(500, SOON)?;
        let report = traffic.stop()?;
        assert_eq!(report.answered, report.total(), "{report}");
    }
    Ok(())
}

#[test]
fn a_quick_stop_leaves_the_socket_to_the_next_start() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let mut running = hello(2).socket(socket.try_clone()?, 1).start()?;
    running.signal(Signal::SIGINT)?;
    running.wait_exit(SOON)?;
    let mut early = Connection::open(socket.local_addr()?)?;
    early.send_get("/")?;
    let _next = hello(2).socket(socket, 1).start()?;
    assert_eq!(early.receive()?.status, 200);
    Ok(())
}

#[test]
fn sockets_of_another_process_are_not_taken() -> Result<()> {
    let hello = hello(1)
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .start()?;
    assert_eq!(http::get(hello.addr()?, "/")?.status, 200);
    Ok(())
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let connected = TcpStream::connect(socket.local_addr()?)?;
    let ended = hello(1).socket(connected, 1).run(SOON)?;
    assert_refused(&ended, 1, &["LISTEN_FDS", "Accept=no"]);
    let ended = hello(1).socket(socket, 2).run(SOON)?;
    assert_refused(&ended, 1, &["LISTEN_FDS", "passed 2", ".socket"]);
    Ok(())
}

#[test]
fn the_real_systemd_socket_activate_starts_it_at_the_first_connection() -> Result<()> {
    let tool = "systemd-socket-activate";
    if real_part(tool, "apt install systemd")?.is_none() {
        return Ok(());
    }
    let directory = Temporary::new("sd-real")?;
    let path = directory.path().join("app.sock");
    let listen = format!("--listen={}", path.display());
    // It passes nothing of its environment on but what it is told to.
    let command = [tool, &listen, "--setenv=E2E_PROGRAM", "--setenv=PORT"];
    let mut running = hello(2).under(&command).spawn()?;
    running.wait_for_line(|line| line.contains("Listening on"), SOON)?;
    let mut first = Connection::open(path.clone())?;
    first.send_get("/")?;
    assert_eq!(first.receive()?.status, 200);
    running.wait_ready(SOON)?;
    assert_eq!(running.address()?, Address::Unix(path));
    Ok(())
}
