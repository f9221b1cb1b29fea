//! Invalid settings are refused with one line that names them, before the program serves.

use std::net::TcpListener;

use anyhow::Result;
use e2e::{Program, SOON, http, program::Ended};

use super::{hello, without_capability};

const USAGE: i32 = 2;
const FAILURE: i32 = 1;

/// Asserts that the program exits with this code and prints one line with all these words.
#[track_caller]
pub(super) fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    let stderr = &ended.stderr;
    assert_eq!(ended.status.code(), Some(code), "{stderr}");
    let lines: Vec<_> = stderr.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    for word in words {
        assert!(lines[0].contains(word), "no `{word}` in: {stderr}");
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_taken_port_is_refused() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let ended = hello(2).option("--port", &port).run(SOON)?;
    assert_refused(&ended, FAILURE, &[&port]);
    Ok(())
}

#[test]
fn a_second_master_on_the_same_port_is_refused_and_the_first_keeps_serving() -> Result<()> {
    let first = hello(2).start()?;
    let port = first.addr()?.port().to_string();
    let ended = hello(2).option("--port", &port).run(SOON)?;
    assert_refused(&ended, FAILURE, &[&port]);
    for _ in 0..20 {
        let pid = http::get(first.addr()?, "/")?.pid();
        assert!(first.workers().iter().any(|worker| Some(*worker) == pid));
    }
    Ok(())
}

#[test]
fn a_master_inside_a_runtime_is_refused() -> Result<()> {
    let ended = hello(2).env("INSIDE_A_RUNTIME", "1").run(SOON)?;
    assert_refused(&ended, FAILURE, &["runtime", "main"]);
    Ok(())
}

#[test]
fn values_that_are_not_allowed_are_refused_with_flag_variable_and_value() -> Result<()> {
    let program = || Program::example("actix-prefork", "hello");
    for (flag, variable, value) in [
        ("--workers", "WEB_CONCURRENCY", "0"),
        ("--workers", "WEB_CONCURRENCY", "many"),
        ("--workers", "WEB_CONCURRENCY", "-1"),
        ("--workers", "WEB_CONCURRENCY", "1000000"),
        ("--port", "PORT", "65536"),
        ("--port", "PORT", "http"),
        ("--threads", "WORKER_THREADS", "0"),
        ("--graceful-timeout", "GRACEFUL_TIMEOUT", "soon"),
        ("--timeout", "WORKER_TIMEOUT", "-1"),
        ("--hang-timeout", "WORKER_HANG_TIMEOUT", "2s"),
        ("--boot-timeout", "WORKER_BOOT_TIMEOUT", "0"),
        ("--max-requests", "MAX_REQUESTS", "1.5"),
        ("--max-requests-jitter", "MAX_REQUESTS_JITTER", "-1"),
    ] {
        let by_flag = program().arg(format!("{flag}={value}")).run(SOON)?;
        assert_refused(&by_flag, USAGE, &[flag, value]);
        let by_variable = program().env(variable, value).run(SOON)?;
        assert_refused(&by_variable, USAGE, &[variable, value]);
    }
    Ok(())
}

#[test]
fn an_unknown_flag_is_refused() -> Result<()> {
    let ended = hello(2).arg("--wokers").run(SOON)?;
    assert_refused(&ended, USAGE, &["--wokers"]);
    Ok(())
}

#[test]
fn a_host_that_is_unknown_or_not_local_is_refused() -> Result<()> {
    for host in ["no-such-host.invalid", "192.0.2.1"] {
        let ended = hello(2).option("--host", host).run(SOON)?;
        assert_refused(&ended, FAILURE, &[host]);
    }
    Ok(())
}

#[test]
fn a_port_of_another_user_is_refused() -> Result<()> {
    // Reserved by the system, so that it takes a privilege, which root gives up here.
    let hello = without_capability(hello(2), "net_bind_service");
    let mut running = hello.option("--port", 1).spawn()?;
    if running.wait_ready(SOON).is_ok() {
        // ip_unprivileged_port_start may be lower here.
        return e2e::real_part::skip("this user may listen on port 1");
    }
    assert_eq!(running.wait_exit(SOON)?.code(), Some(FAILURE));
    assert_eq!(running.console().lines().len(), 1, "{}", running.console());
    Ok(())
}
