//! Integration with systemd: passed sockets and notifications.

use std::{
    net::{TcpListener, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
};

use anyhow::Result;
use e2e::{
    Address, Load, Program, SOON, Signal, Temporary,
    http::{self, Connection},
    poll, process,
    real_part::real_part,
};

use super::{
    bad_input::assert_refused, hello, hello_without_helpers, stop_under_load::ROUNDS,
    wait_for_new_worker,
};
use crate::support::assert_all_answered;

#[test]
fn a_passed_socket_is_served_by_every_worker_and_no_other_port_is_opened() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    // One that could not be bound.
    let hello = hello_without_helpers(2)
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
        let traffic = load.at_most(10 * SOON).start()?;
        for _ in 0..ROUNDS {
            traffic.wait_for_answers(500, SOON)?;
            running.signal(Signal::SIGTERM)?;
            assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
            running = hello(2).socket(socket.try_clone()?, 1).start()?;
        }
        traffic.wait_for_answers(500, SOON)?;
        let report = traffic.stop()?;
        assert_all_answered(&report, &running);
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
fn an_unusable_socket_is_refused_with_advice() -> Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let connected = TcpStream::connect(socket.local_addr()?)?;
    let ended = hello(1).socket(connected, 1).run(SOON)?;
    assert_refused(&ended, 1, &["LISTEN_FDS", "Accept=no"]);
    Ok(())
}

#[test]
fn the_real_systemd_socket_activate_passes_two_sockets_at_the_first_connection() -> Result<()> {
    let tool = "systemd-socket-activate";
    if real_part(tool, "apt install systemd")?.is_none() {
        return Ok(());
    }
    let directory = Temporary::new("sd-real")?;
    let paths = ["one.sock", "two.sock"].map(|name| directory.path().join(name));
    let listen = paths
        .each_ref()
        .map(|path| format!("--listen={}", path.display()));
    // It passes nothing of its environment on but what it is told to.
    let mut command = vec![tool, "--setenv=E2E_PROGRAM", "--setenv=PORT"];
    command.extend(listen.iter().map(String::as_str));
    let mut running = hello(2).under(&command).spawn()?;
    running.wait_for_line(|line| line.contains("Listening on"), SOON)?;
    let mut first = Connection::open(paths[1].clone())?;
    first.send_get("/")?;
    assert_eq!(first.receive()?.status, 200);
    running.wait_ready(SOON)?;
    assert_eq!(running.address()?, Address::Unix(paths[0].clone()));
    assert_eq!(http::get(paths[0].clone(), "/")?.status, 200);
    Ok(())
}

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn listen(address: &SocketAddr) -> Result<Self> {
        let socket = UnixDatagram::bind_addr(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            heard: Vec::new(),
        })
    }

    /// Waits for the next message with this line, and returns all its lines.
    fn wait_for(&mut self, line: &str) -> Result<Vec<String>> {
        poll(&format!("a notification with {line}"), SOON, || {
            let mut message = [0; 4096];
            while let Ok(length) = self.socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]);
                self.heard.push(text.into_owned());
            }
            let found = self
                .heard
                .iter()
                .position(|text| text.lines().any(|found| found.starts_with(line)))?;
            let rest = self.heard.split_off(found + 1);
            let message = std::mem::replace(&mut self.heard, rest).pop()?;
            Some(message.lines().map(str::to_owned).collect())
        })
    }
}

#[test]
fn the_service_manager_is_notified_of_start_reload_liveness_and_stop() -> Result<()> {
    let directory = Temporary::new("sd-notify")?;
    let path = directory.path().join("notify");
    let abstract_name = format!("e2e-notify-{}", std::process::id());
    let places = [
        (
            SocketAddr::from_pathname(&path)?,
            path.display().to_string(),
        ),
        (
            SocketAddr::from_abstract_name(&abstract_name)?,
            format!("@{abstract_name}"),
        ),
    ];
    for (address, name) in places {
        let mut manager = Manager::listen(&address)?;
        let mut hello = hello(2)
            .env("NOTIFY_SOCKET", name)
            .env("WATCHDOG_USEC", "200000")
            .start()?;
        let ready = manager.wait_for("READY=1")?;
        let master = format!("MAINPID={}", hello.pid());
        assert!(ready.contains(&master), "{ready:?}");
        assert!(
            ready
                .iter()
                .any(|line| line == "STATUS=serving, workers: 2")
        );
        for _ in 0..3 {
            manager.wait_for("WATCHDOG=1")?;
        }
        for worker in hello.workers() {
            let environment = std::fs::read(format!("/proc/{worker}/environ"))?;
            let environment = String::from_utf8_lossy(&environment);
            assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
            assert!(!environment.contains("WATCHDOG_USEC"), "{environment}");
        }

        hello.signal(Signal::SIGHUP)?;
        let reloading = manager.wait_for("RELOADING=1")?;
        let has_time = |line: &String| line.starts_with("MONOTONIC_USEC=");
        assert!(reloading.iter().any(has_time), "{reloading:?}");
        manager.wait_for("READY=1")?;
        hello.signal(Signal::SIGTTIN)?;
        manager.wait_for("STATUS=serving, workers: 3")?;

        hello.signal(Signal::SIGTERM)?;
        manager.wait_for("STOPPING=1")?;
        assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
        hello.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn a_service_manager_that_does_not_answer_changes_nothing() -> Result<()> {
    for name in ["/nowhere/notify", "@nobody-listens-here", "no/such"] {
        let hello = hello(1).env("NOTIFY_SOCKET", name).start()?;
        assert_eq!(http::get(hello.addr()?, "/")?.status, 200);
    }
    Ok(())
}
