//! `multiprocess-exporter`: `/metrics` of a directory that others write to.

use std::fs;

use anyhow::Result;
use e2e::{Address, Program, SOON, Signal, Temporary, http};

use super::{
    REQUESTS, Scrape, assert_refused,
    flask::{Flask, answer, assert_same, python},
};
use crate::support::stop;

fn exporter() -> Program {
    Program::bin("prometheus-multiprocess", "multiprocess-exporter")
        .build_arg("--features=exporter")
}

#[test]
fn it_shows_what_flask_shows_while_gunicorn_recycles_its_workers() -> Result<()> {
    let Some(python) = python()? else {
        return Ok(());
    };
    let shared = Temporary::new("exporter-flask")?;
    let exporter = exporter().option("--port", 0);
    let exporter = exporter.option("--dir", shared.path().display()).start()?;
    let flask = Flask::start_with(&python, shared.path(), &["--max-requests", "10"])?;
    for _ in 0..3 {
        answer(flask.addr, 50)?;
    }
    let both = assert_same(exporter.addr()?, flask.addr);
    assert_eq!(both.sum(REQUESTS), 150.0, "{}", both.text);
    flask.stop()?;
    let left = Scrape::of(exporter.addr()?)?;
    assert_eq!(left.sum(REQUESTS), 150.0, "{}", left.text);
    stop(exporter)
}

#[test]
fn a_directory_that_comes_later_and_a_bad_file_in_it_are_no_reason_to_end() -> Result<()> {
    let shared = Temporary::new("exporter-late")?;
    let directory = shared.path().join("metrics");
    let exporter = exporter().option("--port", 0);
    let exporter = exporter
        .env("PROMETHEUS_MULTIPROC_DIR", &directory)
        .start()?;
    let addr = exporter.addr()?;
    assert_eq!(http::get(addr, "/metrics")?.status, 200);
    assert_eq!(http::get(addr, "/healthz")?.status, 200);
    fs::create_dir(&directory)?;
    fs::write(directory.join("counter_1.db"), "not a metric file")?;
    let scrape = Scrape::of(addr)?;
    assert!(
        scrape.text.contains("multiprocess_bad_files"),
        "{}",
        scrape.text
    );
    fs::remove_dir_all(&directory)?;
    let scrape = Scrape::of(addr)?;
    assert!(
        scrape.text.contains("multiprocess_bad_files{file=\".\""),
        "{}",
        scrape.text
    );
    fs::create_dir(&directory)?;
    let scrape = Scrape::of(addr)?;
    assert!(
        !scrape.text.contains("multiprocess_bad_files{"),
        "{}",
        scrape.text
    );
    stop(exporter)
}

#[test]
fn other_methods_and_paths_are_refused_and_head_is_answered() -> Result<()> {
    let shared = Temporary::new("exporter-http")?;
    let exporter = exporter().option("--port", 0);
    let exporter = exporter.option("--dir", shared.path().display()).start()?;
    let addr = exporter.addr()?;
    for (method, path, status) in [
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/other", 404),
    ] {
        assert_eq!(
            http::request(addr, method, path)?.status,
            status,
            "{method} {path}"
        );
    }
    stop(exporter)
}

#[test]
fn a_unix_domain_socket_is_replaced_if_nobody_serves_there_and_removed_at_the_end() -> Result<()> {
    let shared = Temporary::new("exporter-uds")?;
    let socket = shared.path().join("exporter.sock");
    let program = exporter()
        .option("--dir", shared.path().display())
        .option("--uds", socket.display());
    let mut first = program.start()?;
    assert_eq!(first.address()?, Address::Unix(socket.clone()));
    assert_refused(&program.run(SOON)?, 1, &["--uds", "in use"]);
    first.signal(Signal::SIGKILL)?;
    first.wait_exit(SOON)?;
    let mut second = program.start()?;
    assert_eq!(http::get(socket.clone(), "/metrics")?.status, 200);
    second.signal(Signal::SIGTERM)?;
    assert_eq!(second.wait_exit(SOON)?.code(), Some(0));
    assert!(!socket.exists());
    Ok(())
}

#[test]
fn settings_that_are_wrong_are_refused_in_one_line() -> Result<()> {
    let variable = "PROMETHEUS_MULTIPROC_DIR";
    assert_refused(&exporter().run(SOON)?, 2, &["--dir"]);
    assert_refused(&exporter().env(variable, "").run(SOON)?, 2, &[variable]);
    let ended = exporter().option("--dir", "/tmp").option("--port", "http");
    assert_refused(&ended.run(SOON)?, 2, &["--port", "http", "65535"]);
    let ended = exporter().option("--dir", "/dev/null");
    assert_refused(&ended.run(SOON)?, 1, &["/dev/null", "directory"]);
    Ok(())
}
