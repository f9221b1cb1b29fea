//! Tests of the program: output, exit codes, stop.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    process::{Child, ChildStderr, Command, Stdio},
};

use prost::Message;
use support::{PROTOBUF, num_requests, post};

mod support;

struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    grpc: SocketAddr,
    http: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program is still running only if the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn start(arguments: &[&str]) -> Program {
    let free = [
        "--grpc-endpoint",
        "127.0.0.1:0",
        "--http-endpoint",
        "127.0.0.1:0",
    ];
    let mut child = command(&[&free, arguments].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut ready = String::new();
    stderr.read_line(&mut ready).expect("a ready line");
    let address = |mark: &str| -> SocketAddr {
        let before = &ready[..ready.find(mark).expect("both addresses")];
        let start = before.rfind("http://").expect("both addresses") + "http://".len();
        before[start..].parse().expect("an address")
    };
    Program {
        grpc: address(" (gRPC)"),
        http: address(" (HTTP"),
        child,
        stderr,
    }
}

/// Sends the signal and returns the exit code, stdout and the rest of stderr.
fn stop(mut program: Program, signal: &str) -> (Option<i32>, String, String) {
    let sent = Command::new("kill")
        .args([signal, &program.child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success());
    let (mut out, mut err) = (String::new(), String::new());
    let mut stdout = program.child.stdout.take().expect("a pipe");
    stdout.read_to_string(&mut out).expect("UTF-8");
    program.stderr.read_to_string(&mut err).expect("UTF-8");
    let code = program.child.wait().expect("an exit").code();
    (code, out, err)
}

#[test]
fn term_and_int_print_everything_and_exit_with_code_0() {
    for signal in ["-TERM", "-INT"] {
        let program = start(&[]);
        assert_ne!(program.grpc, program.http);
        let body = num_requests("a", (1, 2), 3).encode_to_vec();
        assert_eq!(
            post(program.http, "/v1/metrics", PROTOBUF, &body).status,
            200
        );
        let (code, out, _) = stop(program, signal);
        assert_eq!(code, Some(0));
        assert!(out.contains("num_requests  +3 → 3"), "{out}");
        assert!(
            !out.contains('\x1b'),
            "no colour outside a terminal: {out:?}"
        );
    }
}

#[test]
fn refused_requests_are_logged_with_their_peer_at_a_limited_rate() {
    let program = start(&[]);
    for _ in 0..50 {
        assert_eq!(
            post(program.http, "/v1/metrics", PROTOBUF, b"\xff\x1b[31m\n").status,
            400
        );
    }
    let (_, out, err) = stop(program, "-TERM");
    assert_eq!(out, "");
    let refusals = err
        .lines()
        .filter(|line| line.contains("refused OTLP/HTTP from 127.0.0.1:"));
    assert_eq!(refusals.count(), 10, "{err}");
}

#[test]
fn json_goes_to_stdout_line_by_line() {
    let program = start(&["--format", "json"]);
    let body = num_requests("a", (1, 2), 3).encode_to_vec();
    for _ in 0..3 {
        assert_eq!(
            post(program.http, "/v1/metrics", PROTOBUF, &body).status,
            200
        );
    }
    let (code, out, _) = stop(program, "-TERM");
    assert_eq!(code, Some(0));
    assert_eq!(
        out.lines()
            .filter(|line| line.starts_with(r#"{"resourceMetrics":["#))
            .count(),
        3
    );
    assert_eq!(out.lines().count(), 3);
}

#[test]
fn the_fault_option_applies_from_the_start() {
    let program = start(&["--fault", "unavailable"]);
    assert_eq!(post(program.http, "/v1/metrics", PROTOBUF, b"").status, 503);
}

#[test]
fn a_port_in_use_prints_one_line_and_exits_with_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = command(&[
        "--grpc-endpoint",
        "127.0.0.1:0",
        "--http-endpoint",
        &address,
    ])
    .output()
    .expect("the program runs");
    let err = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains(&address), "{err}");
}

#[test]
fn an_invalid_command_line_prints_one_line_and_exits_with_code_2() {
    let uses: [&[&str]; 5] = [
        &["--format", "xml"],
        &["--grpc-endpoint", "4317"],
        &["--http-endpoint", "127.0.0.1:99999"],
        &["--body-limit", "0"],
        &["--what"],
    ];
    for arguments in uses {
        let output = command(arguments).output().expect("the program runs");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains(arguments[0]), "{err}");
    }
}
