//! The program runs, answers, shows its traces, and stops. It needs nothing of the workspace's tests, so that it
//! can be copied with the scenario.
#![cfg(feature = "embedded-collector")]

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Generous: only a test that fails waits so long.
const SOON: Duration = Duration::from_secs(30);

/// Ends the program even if the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_trace_through_two_requests_is_printed_as_one_tree_before_the_end() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_traces"))
        .env_clear()
        .env("PORT", "0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = lines(child.stderr.take().unwrap());
    let stdout = lines(child.stdout.take().unwrap());
    let mut running = Running(child);

    let ready = wait_for(&stderr, "ready on http://");
    let (_, address) = ready.split_once("http://").unwrap();
    let address = address.split(',').next().unwrap();
    assert!(get(address).unwrap().starts_with("HTTP/1.1 200 OK"));
    let logged = wait_for(&stderr, "traces::routes] Request received");
    let (_, ids) = logged.split_once("trace_id=").unwrap();
    let id = ids.split(' ').next().unwrap();

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    wait_for(&stdout, &format!("trace {id}  4 spans of "));
    for span in [
        "GET /chain  server 200",
        "GET  client",
        "GET /  server",
        "internal work",
    ] {
        wait_for(&stdout, span);
    }
    assert!(running.0.wait().unwrap().success());
}

/// The lines of a stream as they come, read by a thread of its own.
fn lines(stream: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // A test that has seen enough does not read the rest.
            let _ = sender.send(line);
        }
    });
    lines
}

fn wait_for(lines: &Receiver<String>, wanted: &str) -> String {
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(SOON) {
        if line.contains(wanted) {
            return line;
        }
        seen.push(line);
    }
    panic!("no `{wanted}` in:\n{}", seen.join("\n"))
}

fn get(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"GET /chain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
