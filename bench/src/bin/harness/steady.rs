//! Figures without changes or faults: balance and memory.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};
use bench::Goal;

use crate::{
    outcome::{Figure, Figures},
    server::{Kind, Setup, WORKERS},
};

/// How long the load lasts.
const LOAD: Duration = Duration::from_secs(3);

/// How evenly requests spread over the workers.
pub(crate) fn balance(kind: Kind, keep_alive: bool) -> Result<Figures> {
    let server = Setup::new(keep_alive).start(kind)?;
    let traffic = server.load(keep_alive)?;
    thread::sleep(LOAD);
    let report = traffic.stop()?;
    let most = report.pids.values().max().context("nobody answered")?;
    let least = match report.pids.len() {
        WORKERS => report.pids.values().min().copied().unwrap_or_default(),
        _ => 0,
    };
    let ratio = *most as f64 / least as f64;
    let bound = if keep_alive { 2.5 } else { 1.1 };
    Ok(vec![
        Figure::new("most to least busy worker", "ratio", ratio).goal(Goal::AtMost(bound)),
        Figure::new("requests/s", "", report.rate()).higher_is_better(),
    ])
}

/// Memory after some load.
pub(crate) fn memory(kind: Kind) -> Result<Figures> {
    let server = Setup::new(false).start(kind)?;
    server.load(false)?.stop()?;
    let mut kibibytes = 0;
    for pid in server.workers() {
        kibibytes += proportional(pid)?;
    }
    let master = proportional(server.running.pid())?;
    Ok(vec![
        Figure::new("worker (PSS)", "KiB", kibibytes as f64 / WORKERS as f64),
        Figure::new("master (PSS)", "KiB", master as f64),
    ])
}

/// The proportional memory (Pss) of a process in KiB (proc_pid_smaps(5)). It divides shared pages among the processes:
/// gunicorn forks its workers, which share many pages.
fn proportional(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(number
        .with_context(|| format!("{path} has no Pss"))?
        .trim()
        .parse()?)
}
