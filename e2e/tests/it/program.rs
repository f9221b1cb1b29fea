//! Tests of the test support: it starts, watches and cleans up programs, and detects remaining processes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use anyhow::Result;
use e2e::{Program, SOON, Signal, http, process};

#[test]
fn a_program_is_built_started_and_stopped() -> Result<()> {
    let mut bare = Program::bin("bench", "bare").start()?;
    assert_eq!(bare.ready()?.serving(), [bare.pid()]);
    let response = http::get(bare.addr()?, "/")?;
    assert_eq!((response.status, response.pid()), (200, Some(bare.pid())));
    assert!(process::cpu_time(bare.pid())? < SOON);
    bare.signal(Signal::SIGTERM)?;
    assert!(bare.wait_exit(SOON)?.success());
    bare.wait_gone(SOON)?;
    assert!(http::get(bare.addr()?, "/").is_err());
    Ok(())
}

#[test]
fn a_program_that_exits_early_is_an_error_that_shows_its_output() -> Result<()> {
    let program = Program::bin("bench", "bare").env("PORT", "sixty");
    let error = format!("{:#}", program.start().err().expect("it cannot serve"));
    assert!(error.contains("PORT is \"sixty\""), "{error}");
    let ended = program.run(SOON)?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("PORT is \"sixty\""),
        "{}",
        ended.stderr
    );
    Ok(())
}

#[test]
fn the_environment_of_the_test_does_not_reach_the_program() -> Result<()> {
    let bare = Program::bin("bench", "bare").start()?;
    let environment = std::fs::read(format!("/proc/{}/environ", bare.pid()))?;
    let names: Vec<_> = String::from_utf8_lossy(&environment)
        .split_terminator('\0')
        .filter_map(|variable| Some(variable.split_once('=')?.0.to_owned()))
        .collect();
    assert!(names.contains(&"PORT".to_owned()), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("CARGO")),
        "{names:?}"
    );
    Ok(())
}

#[test]
fn a_process_that_outlives_its_program_makes_the_test_fail() -> Result<()> {
    // The shell starts a process that leaves its group and its session, and becomes the program itself.
    let script = r#"setsid sleep 1000 & exec "$0""#;
    let bare = Program::bin("bench", "bare")
        .under(&["sh", "-c", script])
        .patience(Duration::from_millis(100));
    let mut bare = bare.start()?;
    let processes = bare.processes();
    assert_eq!(processes.len(), 2, "{processes:?}");
    bare.signal(Signal::SIGTERM)?;
    bare.wait_exit(SOON)?;

    let error = bare.wait_gone(Duration::ZERO).unwrap_err();
    assert!(format!("{error:#}").contains("(sleep, S)"), "{error:#}");
    let failure = catch_unwind(AssertUnwindSafe(|| drop(bare)));
    assert!(failure.is_err(), "the leftover was not noticed");
    e2e::poll("the leftover's end", SOON, || {
        let mut pids = processes.iter().map(|stat| stat.pid);
        (!pids.any(process::is_alive)).then_some(())
    })
}
