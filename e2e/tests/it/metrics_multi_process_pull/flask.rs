//! Shares a directory with a Flask application under gunicorn: `/metrics` of either shows both.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, Signal, poll, process, real_part};

use super::{ACTIVE, REQUESTS, Scrape, Temporary, metrics_addr, pull};
use crate::{support::stop, workers::freeze};

/// A Python with the modules of the Flask application. Otherwise prints a message and returns `None`.
pub(super) fn python() -> Result<Option<PathBuf>> {
    let python = env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let check = Command::new(&python)
        .args(["-c", "import flask, gunicorn, prometheus_client"])
        .stderr(Stdio::null())
        .status();
    if check.is_ok_and(|status| status.success()) {
        return Ok(Some(python));
    }
    real_part::skip(&format!(
        "{} has no flask, gunicorn and prometheus_client; `pip install -r e2e/requirements.txt`, \
         or name another interpreter in PYTHON",
        python.display()
    ))?;
    Ok(None)
}

/// The Flask application. Its start wipes every `*.db` in the directory.
pub(super) struct Flask {
    running: Running,
    pub(super) addr: SocketAddr,
}

impl Flask {
    fn start(python: &Path, directory: &Path) -> Result<Self> {
        Self::start_with(python, directory, &[])
    }

    /// As [`start`](Self::start), with more arguments for gunicorn.
    pub(super) fn start_with(python: &Path, directory: &Path, args: &[&str]) -> Result<Self> {
        let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
        let mut program = Program::found(python)
            .option("-m", "gunicorn")
            .option("--chdir", peers)
            .option("--config", format!("{peers}/gunicorn_config.py"));
        for arg in args {
            program = program.arg(arg);
        }
        let running = program
            .arg("flask_app:app")
            .env("PORT", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PROMETHEUS_MULTIPROC_DIR", directory)
            .spawn()?;
        let line = running.wait_for_line(|line| line.contains("Listening at: "), SOON)?;
        let addr = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let addr = addr.with_context(|| format!("no address in {line}"))?;
        let flask = Self { running, addr };
        // It listens before its hook has run and its workers have started.
        poll("the Flask application", SOON, || Scrape::of(addr).ok())
            .with_context(|| flask.running.console().to_string())?;
        Ok(flask)
    }

    pub(super) fn stop(mut self) -> Result<()> {
        self.running.signal(Signal::SIGTERM)?;
        self.running.wait_exit(SOON)?;
        self.running.wait_gone(SOON)
    }
}

pub(super) fn answer(addr: SocketAddr, requests: u64) -> Result<()> {
    let load = Load::on(addr).clients(4).keep_alive(false);
    let report = load.requests(requests).run()?;
    assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
    Ok(())
}

/// Asserts that both show the same samples, except for our process and worker metrics. Returns our scrape.
#[track_caller]
pub(super) fn assert_same(ours: SocketAddr, flask: SocketAddr) -> Scrape {
    let read = || -> Result<_> {
        let (mut ours, theirs) = (Scrape::of(ours)?, Scrape::of(flask)?);
        let of_processes = |sample: &String| {
            ["process_", "worker_"]
                .iter()
                .any(|prefix| sample.starts_with(prefix))
        };
        ours.samples.retain(|sample, _| !of_processes(sample));
        Ok((ours, theirs))
    };
    let same = poll("the same samples on both sides", SOON, || {
        let (ours, theirs) = read().ok()?;
        (ours.samples == theirs.samples).then_some(ours)
    });
    match same {
        Ok(ours) => ours,
        Err(error) => {
            let (ours, theirs) = read().expect("both sides to answer");
            panic!("{error}; ours:\n{}\ntheirs:\n{}", ours.text, theirs.text)
        }
    }
}

#[test]
fn both_sides_show_the_same_sums_also_after_flask_clears_the_directory() -> Result<()> {
    let Some(python) = python()? else {
        return Ok(());
    };
    let shared = Temporary::new("flask")?;
    let program = pull().env("PROMETHEUS_MULTIPROC_DIR", shared.path());
    let running = program.start()?;
    let ours = running.addr()?;
    answer(ours, 100)?;

    let flask = Flask::start(&python, shared.path())?;
    assert_eq!(Scrape::of(ours)?.sum(REQUESTS), 100.0);
    answer(flask.addr, 50)?;
    answer(ours, 7)?;
    let both = assert_same(ours, flask.addr);
    assert_eq!(both.sum(REQUESTS), 157.0, "{}", both.text);
    assert_eq!(both.observed(), 157.0, "{}", both.text);
    running.wait_for_line(|line| line.contains("restored"), SOON)?;
    let repaired = Scrape::of(ours)?.sum("multiprocess_incidents_total{kind=\"file_restored\"}");
    assert!(repaired >= 1.0, "what was put back is not counted");

    // A worker dies, and Flask is started again, which wipes its own counters and cannot wipe ours.
    process::send(running.workers()[0], Signal::SIGKILL)?;
    flask.stop()?;
    assert_eq!(Scrape::of(ours)?.sum(REQUESTS), 157.0);
    let flask = Flask::start(&python, shared.path())?;
    answer(ours, 10)?;
    answer(flask.addr, 20)?;
    let both = assert_same(ours, flask.addr);
    assert_eq!(both.sum(REQUESTS), 107.0 + 10.0 + 20.0, "{}", both.text);
    stop(running)?;
    flask.stop()
}

#[test]
fn live_gauges_of_a_killed_worker_are_gone_from_both_sides() -> Result<()> {
    let Some(python) = python()? else {
        return Ok(());
    };
    let shared = Temporary::new("flask-live")?;
    let running = pull()
        .option("--workers", 1)
        .env("METRICS_PORT", "0")
        .env("PROMETHEUS_MULTIPROC_DIR", shared.path())
        .start()?;
    let metrics = metrics_addr(&running)?;
    let flask = Flask::start(&python, shared.path())?;
    let load = Load::on(running.addr()?).clients(16).at_most(SOON * 10);
    let traffic = load.start()?;

    // Frozen often enough, a busy worker is in the middle of a request.
    let worker = running.workers()[0];
    let active = poll("a worker frozen in a request", SOON * 4, || {
        freeze(worker).ok()?;
        let active = Scrape::of(metrics).ok()?.sum(ACTIVE);
        if active > 0.0 {
            return Some(active);
        }
        process::send(worker, Signal::SIGCONT).ok()?;
        traffic.wait_for_answers(1, SOON).ok();
        None
    })?;
    poll("the restored gauge at Flask", SOON, || {
        (Scrape::of(flask.addr).ok()?.sum(ACTIVE) == active).then_some(())
    })?;
    drop(traffic);
    process::send(worker, Signal::SIGKILL)?;
    poll("the gauge to go from both", SOON, || {
        let ours = Scrape::of(metrics).ok()?.sum(ACTIVE);
        let theirs = Scrape::of(flask.addr).ok()?.sum(ACTIVE);
        (ours == 0.0 && theirs == 0.0).then_some(())
    })?;
    flask.stop()?;
    stop(running)
}
