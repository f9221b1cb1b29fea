//! Invalid settings are refused with one line that names them.

use std::net::TcpListener;

use anyhow::Result;
use e2e::{SOON, http, program::Ended};

use super::pull;

const USAGE: i32 = 2;
const FAILURE: i32 = 1;

/// Asserts that the program exited with this code and printed one line with all these words.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    let stderr = &ended.stderr;
    assert_eq!(ended.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_taken_metrics_port_is_refused() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    for program in [
        pull().option("--metrics-port", &port),
        pull().env("METRICS_PORT", &port),
    ] {
        assert_refused(
            &program.run(SOON)?,
            FAILURE,
            &[&port, "/metrics", "METRICS_PORT"],
        );
    }
    Ok(())
}

#[test]
fn a_taken_port_is_refused_with_the_metrics_port_free() -> Result<()> {
    let first = pull().start()?;
    let port = first.addr()?.port().to_string();
    let second = pull().option("--port", &port).env("METRICS_PORT", "0");
    assert_refused(&second.run(SOON)?, FAILURE, &[&port, "--port"]);
    assert_eq!(http::get(first.addr()?, "/healthz")?.status, 200);
    Ok(())
}

#[test]
fn one_port_for_both_is_a_usage_error() -> Result<()> {
    let both = pull().env("PORT", "5100").env("METRICS_PORT", "5100");
    assert_refused(&both.run(SOON)?, USAGE, &["METRICS_PORT", "PORT", "5100"]);
    // Two free ports are two ports.
    pull().env("METRICS_PORT", "0").start()?;
    Ok(())
}

#[test]
fn values_that_are_not_allowed_are_refused_with_flag_variable_and_value() -> Result<()> {
    for (flag, variable, value) in [
        ("--metrics-port", "METRICS_PORT", "65536"),
        ("--metrics-port", "METRICS_PORT", "http"),
        ("--metrics-port", "METRICS_PORT", "-1"),
        ("--error-rate", "ERROR_RATE", "1.5"),
        ("--threads", "WORKER_THREADS", "0"),
    ] {
        let by_flag = pull().arg(format!("{flag}={value}")).run(SOON)?;
        assert_refused(&by_flag, USAGE, &[flag, value]);
        let by_variable = pull().env(variable, value).run(SOON)?;
        assert_refused(&by_variable, USAGE, &[variable, value]);
    }
    let workers = pull().option("--workers", 2).run(SOON)?;
    assert_refused(&workers, USAGE, &["--workers"]);
    Ok(())
}
