//! `metrics-multi-process-pull`: a scrape of any worker has the exact counts of all workers.

mod contract;
mod directory;
mod exporter;
mod flask;
mod harness;
mod kills;
mod metrics_port;
mod scrape;
mod totals;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use e2e::{Program, Running, Temporary, program::Ended};

use self::scrape::Scrape;

/// The program without simulated errors.
fn pull() -> Program {
    Program::new("metrics-multi-process-pull").env("ERROR_RATE", "0")
}

/// The directory that the ready line names.
fn directory(running: &Running) -> Result<PathBuf> {
    let directory = running.ready()?.parts.get("directory");
    Ok(directory.context("no directory in the ready line")?.into())
}

/// The address of the port for metrics that the ready line names.
fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let url = running.ready()?.parts.get("metrics");
    let url = url.context("no address for metrics in the ready line")?;
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.strip_suffix("/metrics").unwrap_or(address);
    address.parse().with_context(|| format!("this is {url}"))
}

/// Asserts that the program refused to start, with one line that has all these words.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32, words: &[&str]) {
    let stderr = &ended.stderr;
    assert_eq!(ended.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "no `{word}` in: {stderr}");
    }
}

/// The names of the files in a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

const REQUESTS: &str = "num_requests_total";
const DURATION: &str = "http_server_request_duration_seconds";
const ACTIVE: &str = "http_server_active_requests";
