//! Clients that are slow, absent or many: they cost a worker neither memory nor its stop.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use anyhow::Result;
use e2e::{SOON, Signal, http, http::Connection, poll, process};

use super::{AN_HOUR, FOREVER, answered_connections, hello};

const MIB: u64 = 1024 * 1024;

/// An interval in which a slow client does something.
const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn a_head_that_never_ends_is_answered_with_408_on_a_connection_of_any_age() -> Result<()> {
    let hello = hello(1).option("--client-request-timeout", 1).start()?;
    let mut new = Connection::open(hello.addr()?)?;
    let mut used = answered_connections(&hello, 1)?.remove(0);
    for connection in [&mut new, &mut used] {
        connection.send("GET / HTTP/1.1\r\nHost: local")?;
    }
    for connection in [&mut new, &mut used] {
        let response = connection.receive()?;
        assert_eq!(response.status, 408);
        assert!(response.closes());
        connection.wait_closed()?;
    }
    Ok(())
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_closed_without_a_word() -> Result<()> {
    let hello = hello(1)
        .option("--client-request-timeout", 1)
        .option("--keep-alive", 1)
        .start()?;
    let mut new = Connection::open(hello.addr()?)?;
    let mut used = answered_connections(&hello, 1)?.remove(0);
    new.wait_closed()?;
    used.wait_closed()
}

#[test]
fn an_idle_connection_is_kept_for_longer_than_a_head_may_take() -> Result<()> {
    let hello = hello(1).option("--client-request-timeout", 0.1).start()?;
    let mut used = answered_connections(&hello, 1)?.remove(0);
    let mut new = Connection::open(hello.addr()?)?;
    // Both have the same age, so one tells when the time of the other would be over.
    new.wait_closed()?;
    used.send_get("/")?;
    assert_eq!(used.receive()?.status, 200);
    Ok(())
}

#[test]
fn without_keep_alive_each_response_closes_its_connection() -> Result<()> {
    let hello = hello(1).option("--keep-alive", 0).start()?;
    let mut connection = Connection::open(hello.addr()?)?;
    connection.send_get("/")?;
    assert!(connection.receive()?.closes());
    connection.wait_closed()
}

fn upload(connection: &mut Connection, path: &str, length: usize) -> Result<()> {
    connection.send(&format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    ))
}

#[test]
fn a_body_that_comes_byte_by_byte_is_answered_with_408() -> Result<()> {
    let hello = hello(1).option("--client-body-timeout", 1).start()?;
    let mut slow = Connection::open(hello.addr()?)?;
    upload(&mut slow, "/length", 1000)?;
    for _ in 0..30 {
        // It may have been cut by now.
        let _ = slow.send("x");
        thread::sleep(MOMENT);
    }
    let response = slow.receive()?;
    assert_eq!(response.status, 408);
    assert!(response.closes());
    Ok(())
}

#[test]
fn a_slow_upload_that_goes_on_is_not_cut() -> Result<()> {
    let hello = hello(1)
        .option("--client-body-timeout", 1)
        .option("--client-request-timeout", 1)
        .start()?;
    let mut slow = Connection::open(hello.addr()?)?;
    let piece = "x".repeat(1000);
    upload(&mut slow, "/length", 40 * piece.len())?;
    for _ in 0..40 {
        slow.send(&piece)?;
        thread::sleep(MOMENT);
    }
    assert_eq!(slow.receive()?.body, "40000 bytes");
    slow.send_get("/")?;
    assert_eq!(slow.receive()?.status, 200);
    Ok(())
}

#[test]
fn a_large_body_arrives_whole_and_one_that_nobody_reads_ends_the_connection() -> Result<()> {
    let hello = hello(1).start()?;
    let mut connection = Connection::open(hello.addr()?)?;
    let body = "x".repeat(5_000_000);
    for _ in 0..3 {
        upload(&mut connection, "/length", body.len())?;
        connection.send(&body)?;
        assert_eq!(connection.receive()?.body, "5000000 bytes");
    }
    upload(&mut connection, "/ignore", 1000)?;
    assert!(connection.receive()?.closes());
    Ok(())
}

#[test]
fn requests_that_are_sent_at_once_are_answered_in_order() -> Result<()> {
    let hello = hello(1).start()?;
    let mut connection = Connection::open(hello.addr()?)?;
    let mut all = String::new();
    for length in 0..100 {
        let body = "x".repeat(length * 100);
        all += &format!(
            "POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    connection.send(&all)?;
    for length in 0..100 {
        let body = connection.receive()?.body;
        assert_eq!(body, format!("{} bytes", length * 100));
    }
    Ok(())
}

#[test]
fn clients_that_neither_send_nor_read_do_not_hold_a_stop() -> Result<()> {
    let mut hello = hello(1)
        .option("--client-body-timeout", 1)
        .option("--send-timeout", 1)
        .option("--graceful-timeout", AN_HOUR.as_secs())
        .start()?;
    let mut uploads = answered_connections(&hello, 3)?;
    for connection in &mut uploads {
        upload(connection, "/length", 1000)?;
    }
    let mut downloads = answered_connections(&hello, 3)?;
    for connection in &mut downloads {
        connection.send_get(&format!("/large?bytes={}", 200 * MIB))?;
    }
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    hello.wait_gone(SOON)
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431() -> Result<()> {
    let hello = hello(1).start()?;
    let mut used = answered_connections(&hello, 1)?.remove(0);
    for connection in [&mut Connection::open(hello.addr()?)?, &mut used] {
        let large = "x".repeat(200_000);
        connection.send(&format!("GET / HTTP/1.1\r\nCookie: {large}"))?;
        let response = connection.receive()?;
        assert_eq!(response.status, 431);
        assert!(response.closes());
    }
    Ok(())
}

#[test]
fn a_large_head_is_read_if_the_limit_allows_it() -> Result<()> {
    let hello = hello(1).option("--max-http-header-size", 16_384).start()?;
    let mut large = Connection::open(hello.addr()?)?;
    let cookie = "x".repeat(16_000);
    large.send(&format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
    ))?;
    assert_eq!(large.receive()?.status, 200);
    Ok(())
}

#[test]
fn heads_without_an_end_take_little_memory() -> Result<()> {
    let head = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(120_000));
    for first in ["/", FOREVER] {
        let hello = hello(1).start()?;
        let worker = hello.workers()[0];
        let before = process::memory(worker)?;
        let mut connections = Vec::new();
        for _ in 0..400 {
            connections.push(TcpStream::connect(hello.addr()?)?);
        }
        for connection in &mut connections {
            connection.set_nonblocking(true)?;
            let request = format!("GET {first} HTTP/1.1\r\nHost: localhost\r\n\r\n{head}");
            // What is not taken stays with the client.
            let _ = connection.write(request.as_bytes());
        }
        // Those that are refused are kept a moment longer, to read why.
        poll("400 connections to take at most 10 MiB", SOON, || {
            http::get(hello.addr().ok()?, "/").ok()?;
            let grown = process::memory(worker).ok()?.saturating_sub(before);
            (grown <= 10 * MIB).then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn idle_connections_are_closed_before_a_new_one_has_to_wait() -> Result<()> {
    let hello = hello(1).option("--max-connections", 8).start()?;
    let mut idle = answered_connections(&hello, 8)?;
    let mut more = answered_connections(&hello, 4)?;
    // Those go first that have been idle for longest.
    for connection in &mut idle[..4] {
        connection.wait_closed()?;
    }
    for connection in idle[4..].iter_mut().chain(&mut more) {
        connection.send_get("/")?;
        assert_eq!(connection.receive()?.status, 200);
    }
    Ok(())
}

#[test]
fn idle_connections_are_closed_when_descriptors_run_out() -> Result<()> {
    let hello = hello(1).under(&["prlimit", "--nofile=96:96"]).start()?;
    let _idle = answered_connections(&hello, 200)?;
    Ok(())
}

#[test]
fn new_connections_go_to_a_worker_that_has_room() -> Result<()> {
    let hello = hello(2).option("--max-connections", 4).start()?;
    let mut busy = Vec::new();
    let mut of_first = 0;
    let first = hello.workers()[0];
    while of_first < 3 {
        let mut connection = Connection::open(hello.addr()?)?;
        connection.send_get("/")?;
        if connection.receive()?.pid() == Some(first) {
            connection.send_get(FOREVER)?;
            busy.push(connection);
            of_first += 1;
        }
    }
    for _ in 0..60 {
        assert_eq!(http::get(hello.addr()?, "/")?.status, 200);
    }
    Ok(())
}

#[test]
fn a_websocket_says_goodbye_and_does_not_hold_a_stop() -> Result<()> {
    let mut hello = hello(2)
        .option("--graceful-timeout", AN_HOUR.as_secs())
        .option("--client-body-timeout", 1)
        .start()?;
    let mut socket = TcpStream::connect(hello.addr()?)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.write_all(
        b"GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: example\r\n\r\n",
    )?;
    let mut head = [0; 12];
    socket.read_exact(&mut head)?;
    assert_eq!(&head, b"HTTP/1.1 101");
    hello.signal(Signal::SIGTERM)?;
    let mut rest = String::new();
    socket.read_to_string(&mut rest)?;
    assert!(rest.contains("goodbye"), "{rest:?}");
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    hello.wait_gone(SOON)
}
