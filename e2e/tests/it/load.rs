//! The load client classifies every failure correctly, tested with servers that misbehave on purpose.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::Result;
use e2e::{
    Load, Program,
    load::{Kind, Report},
};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nHello from 42!";

/// A server that calls `serve` for each connection in turn, until the test process exits.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    Ok(addr)
}

/// Reads the next request, so that closing the connection afterwards is not a reset.
fn read_request(stream: &mut TcpStream) {
    let mut request = [0; 4096];
    let count = stream.read(&mut request).unwrap();
    assert!(
        request[..count].ends_with(b"\r\n\r\n"),
        "one read, one request"
    );
}

/// Asserts that every failure in the report is of this kind.
#[track_caller]
fn assert_failed(report: &Report, kind: Kind, count: u64) {
    assert_eq!(report.count(kind), count, "{report}");
    assert_eq!(report.failed.len(), 1, "{report}");
}

#[test]
fn every_request_to_a_working_server_is_answered() -> Result<()> {
    let bare = Program::bin("bench", "bare").start()?;
    for keep_alive in [true, false] {
        let load = Load::on(bare.addr()?).clients(8).keep_alive(keep_alive);
        let report = load.requests(1000).run()?;
        assert_eq!(report.answered, 1000, "{report}");
        assert_eq!(report.total(), 1000, "{report}");
        assert_eq!(report.statuses[&200], 1000, "{report}");
        assert_eq!(report.pids[&bare.pid()], 1000, "{report}");
        let connections = if keep_alive { 8 } else { 1000 };
        assert_eq!(report.connections, connections, "{report}");
        assert_eq!(report.unclean_closes, 0, "{report}");
        assert!(report.quantile(0.5) <= report.max(), "{report}");
    }
    Ok(())
}

#[test]
fn an_open_loop_sends_whether_the_server_answers_or_not() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let load = Load::on(silent.local_addr()?).every(Duration::from_millis(1));
    let patience = Duration::from_millis(200);
    let report = load.requests(50).patience(patience).run()?;
    assert_failed(&report, Kind::TimedOut, 50);
    assert_eq!(report.connections, 50, "{report}");
    Ok(())
}

#[test]
fn no_listener_means_refused() -> Result<()> {
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let report = Load::on(addr).clients(2).requests(4).run()?;
    assert_failed(&report, Kind::Refused, 4);
    assert_eq!(report.lost(), 0);
    Ok(())
}

#[test]
fn a_connection_after_a_refusal_is_counted() -> Result<()> {
    let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let traffic = Load::on(addr).start()?;
    traffic.wait_for_refusals(1, e2e::SOON)?;
    // Another process may have got the port meanwhile; then this test has nothing to show.
    let Ok(listener) = TcpListener::bind(addr) else {
        return Ok(());
    };
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            read_request(&mut stream);
            stream.write_all(HELLO).unwrap();
        }
    });
    traffic.wait_for_answers(1, e2e::SOON)?;
    assert!(traffic.stop()?.accepted_after_refusal > 0);
    Ok(())
}

#[test]
fn a_close_before_the_first_byte_of_a_new_connection_is_a_lost_request() -> Result<()> {
    let addr = server(|mut stream| read_request(&mut stream))?;
    let report = Load::on(addr).requests(3).run()?;
    assert_failed(&report, Kind::Fresh, 3);
    assert_eq!((report.lost(), report.failures.len()), (3, 3));
    assert_ne!(report.failures[0].port, 0);
    Ok(())
}

#[test]
fn a_reset_in_the_queue_is_a_lost_request() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let traffic = Load::on(addr).clients(4).requests(4).start()?;
    e2e::poll("four queued connections", e2e::SOON, || {
        (e2e::sockets::queued(addr.port()).ok()?.len() == 4).then_some(())
    })?;
    drop(listener);
    assert_failed(&traffic.finish()?, Kind::Fresh, 4);
    Ok(())
}

#[test]
fn a_close_after_a_response_is_distinguished_from_a_lost_request() -> Result<()> {
    let addr = server(|mut stream| {
        read_request(&mut stream);
        stream.write_all(HELLO).unwrap();
        read_request(&mut stream);
    })?;
    let report = Load::on(addr).requests(4).run()?;
    assert_eq!(report.answered, 2, "{report}");
    assert_failed(&report, Kind::Reused, 2);
    assert_eq!(report.failures[0].pid, Some(42));
    Ok(())
}

#[test]
fn a_response_that_stops_in_the_middle_is_partial() -> Result<()> {
    let addr = server(|mut stream| {
        read_request(&mut stream);
        stream.write_all(&HELLO[..HELLO.len() - 1]).unwrap();
    })?;
    assert_failed(&Load::on(addr).requests(2).run()?, Kind::Partial, 2);

    let addr = server(|mut stream| {
        read_request(&mut stream);
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    })?;
    assert_failed(&Load::on(addr).requests(2).run()?, Kind::Partial, 2);
    Ok(())
}

#[test]
fn a_reset_after_a_complete_response_is_counted_but_not_a_failure() -> Result<()> {
    let addr = server(|mut stream| {
        read_request(&mut stream);
        stream.write_all(HELLO).unwrap();
    })?;
    let report = Load::on(addr).keep_alive(false).requests(2).run()?;
    assert_eq!((report.answered, report.unclean_closes), (2, 0), "{report}");

    let addr = server(|mut stream| {
        // Half of the request stays unread.
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(HELLO).unwrap();
    })?;
    let report = Load::on(addr).keep_alive(false).requests(2).run()?;
    assert_eq!((report.answered, report.unclean_closes), (2, 2), "{report}");
    Ok(())
}

#[test]
fn an_announced_close_is_not_a_failure() -> Result<()> {
    let addr = server(|mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
    })?;
    let report = Load::on(addr).requests(5).run()?;
    assert_eq!((report.answered, report.connections), (5, 5), "{report}");
    assert_eq!(report.unclean_closes, 0, "{report}");
    Ok(())
}

#[test]
fn load_stays_on_loopback() {
    let addr: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert!(Load::on(addr).start().is_err());
}
