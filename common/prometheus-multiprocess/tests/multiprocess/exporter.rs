//! The program that serves `/metrics` beside a service of another language.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use prometheus::Opts;
use prometheus_multiprocess::Store;

use crate::support::{Temporary, eventually, has_python, skip, value};

/// A process that is killed at the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exporter() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_multiprocess-exporter"));
    command.env_remove("PROMETHEUS_MULTIPROC_DIR");
    command
}

/// Starts it, and gives the last word of its first line: where it serves.
fn start(command: &mut Command) -> (Running, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let stderr = child.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut line).unwrap();
    let address = line.split_whitespace().last().unwrap_or_default();
    let address = address.trim_start_matches("http://");
    let address = address.trim_end_matches("/metrics").to_owned();
    (Running(child), address)
}

fn ask(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn get(address: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ask(TcpStream::connect(address).unwrap(), &request)
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn the_exporter_serves_a_directory_over_tcp_and_over_a_unix_socket() {
    let directory = Temporary::new();
    let store = Store::open(directory.path()).unwrap();
    store.counter(Opts::new("c", "Help")).unwrap().inc();
    fs::write(directory.join("counter_1.db"), "").unwrap();
    let port = ["--port", "0", "--dir"];
    let (_tcp, address) = start(exporter().args(port).arg(directory.path()));
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let response = get(&address, "/metrics?x=y");
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(
        response.contains("Content-Type: text/plain; version=0.0.4"),
        "{response}"
    );
    assert_eq!(value(body(&response), "c_total"), 1.0);
    let bad = "multiprocess_bad_files{file=\"counter_1.db\",reason=\"empty\"}";
    assert_eq!(value(body(&response), bad), 1.0);
    assert!(get(&address, "/").starts_with("HTTP/1.1 404 "));
    let connect = || TcpStream::connect(&address).unwrap();
    assert!(ask(connect(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    let head = ask(connect(), "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body(&head).is_empty(),
        "{head}"
    );
    // Clients that say nothing do not keep others from an answer.
    let _silent: Vec<TcpStream> = (0..8).map(|_| connect()).collect();
    assert!(get(&address, "/metrics").starts_with("HTTP/1.1 200 "));

    let socket = directory.join("exporter.sock");
    for _ in 0..2 {
        let mut command = exporter();
        command.env("PROMETHEUS_MULTIPROC_DIR", directory.path());
        // The second one finds the socket that the first one left.
        let (_uds, path) = start(command.arg("--uds").arg(&socket));
        assert_eq!(Path::new(&path), socket);
        let stream = UnixStream::connect(&socket).unwrap();
        let response = ask(stream, "GET /metrics HTTP/1.1\r\n\r\n");
        assert_eq!(value(body(&response), "c_total"), 1.0);
    }
}

#[test]
fn a_mistake_in_the_options_is_one_line_that_names_it() {
    let directory = Temporary::new();
    fs::write(directory.join("file"), "").unwrap();
    let file = directory.join("file");
    let file = file.to_str().unwrap();
    for (arguments, code, part) in [
        (&[][..], 2, "PROMETHEUS_MULTIPROC_DIR"),
        (&["--dir"], 2, "--dir"),
        (&["--dir", "/tmp", "--port", "65536"], 2, "--port 65536"),
        (&["--verbose", "1"], 2, "--verbose"),
        (&["--dir", file, "--port", "0"], 1, "not a directory"),
        (&["--dir", "/tmp", "--uds", file], 1, "--uds"),
    ] {
        let output = exporter().args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.starts_with("error: ") && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

const APPLICATION: &str = r#"
from flask import Flask
from prometheus_client import Counter
app = Flask(__name__)
orders = Counter("orders", "Orders taken", ["kind"])

@app.get("/")
def order():
    orders.labels("new").inc()
    return "ok"
"#;

#[test]
fn the_exporter_shows_a_gunicorn_service_whose_workers_come_and_go() {
    if !has_python("import flask, gunicorn, prometheus_client") {
        return skip("python3 has no flask, gunicorn and prometheus_client");
    }
    let directory = Temporary::new();
    let metrics = directory.join("metrics");
    fs::create_dir(&metrics).unwrap();
    fs::write(directory.join("shop.py"), APPLICATION).unwrap();
    let socket = directory.join("gunicorn.sock");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut gunicorn = Command::new(python);
    gunicorn
        .args([
            "-m",
            "gunicorn",
            "shop:app",
            "--workers",
            "2",
            "--max-requests",
            "20",
            "--bind",
        ])
        .arg(format!("unix:{}", socket.display()))
        .current_dir(directory.path())
        .env("PROMETHEUS_MULTIPROC_DIR", &metrics)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // gunicorn stops its workers when it is told to, not when it is killed.
    let gunicorn = Running(gunicorn.spawn().unwrap());
    eventually("gunicorn", || UnixStream::connect(&socket).is_ok());
    let (_exporter, address) = start(exporter().args(["--port", "0", "--dir"]).arg(&metrics));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for number in 1..=200_u32 {
        let response = ask(UnixStream::connect(&socket).unwrap(), request);
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        if number % 50 == 0 {
            let response = get(&address, "/metrics");
            let sample = "orders_total{kind=\"new\"}";
            assert_eq!(value(body(&response), sample), f64::from(number));
        }
    }
    let files = fs::read_dir(&metrics).unwrap().count();
    assert!(files >= 5, "the workers came and went: {files} files");
    let pid = nix::unistd::Pid::from_raw(gunicorn.0.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let mut gunicorn = gunicorn;
    eventually("gunicorn to stop", || {
        gunicorn.0.try_wait().unwrap().is_some()
    });
}
