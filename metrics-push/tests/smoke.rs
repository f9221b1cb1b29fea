//! The program as a user starts it: it answers, and what it counted arrives.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_request_is_answered_and_its_count_arrives_at_the_embedded_collector() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-push"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    let child = command
        .args(["--port", "0", "--host", "127.0.0.1", "--workers", "1"])
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    // Kept open to the end, as a terminal would be.
    let console = BufReader::new(running.0.stderr.take().unwrap());
    let mut console = console.lines().map(Result::unwrap);
    let ready = console.find(|line| line.contains("ready on")).unwrap();
    let address = ready.split("http://").nth(1).unwrap();
    let address = address.split(',').next().unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("Hello from "), "{answer}");

    let printed = BufReader::new(running.0.stdout.take().unwrap());
    let mut lines = printed.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("num_requests") && line.contains("+1 ")));
}
