//! Measures the memory of one scrape.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use bench::{Row, Section, python};
use common::multiprocess::MultiProcessCollector;
use e2e::Temporary;

use crate::{
    COMMAND,
    directories::{self, Shape},
    scrapes,
};

pub(crate) fn measure(root: &Temporary, has_python: bool) -> Result<Section> {
    let mut section = Section::new(
        "Store: memory of a scrape",
        "Increase of the peak memory of a new process that scrapes once, including mapped files. `prometheus` gathers and encodes the metrics of a single process; the metrics themselves are not included.",
        COMMAND,
    );
    for (workers, series) in [(8, 1_000), (8, 10_000), (32, 10_000)] {
        let shape = Shape { workers, series };
        let directory = directories::counters(root, shape)?;
        let name = format!("{shape} counters");
        let ours = ours(&directory)?;
        let row = |peer, theirs| Row::against(&name, "MiB", &[ours], peer, &[theirs]);
        section
            .rows
            .push(row("prometheus, 1 process", of_prometheus(series)?));
        if has_python {
            section.rows.push(row("Python", of_python(&directory)?));
        }
    }
    Ok(section)
}

/// A row without a peer.
pub(crate) fn row(name: &str, directory: &Path) -> Result<Row> {
    Ok(Row::new(name, "MiB", &[ours(directory)?]))
}

/// Memory of a scrape in a new process, in mebibytes.
fn ours(directory: &Path) -> Result<f64> {
    let program = std::env::current_exe().context("cannot tell which program is running")?;
    ask(Command::new(program).arg("--memory-of").arg(directory))
}

/// Memory for gathering and encoding `series` series with `prometheus`, in mebibytes.
fn of_prometheus(series: usize) -> Result<f64> {
    let program = std::env::current_exe().context("cannot tell which program is running")?;
    ask(Command::new(program)
        .arg("--memory-of-prometheus")
        .arg(series.to_string()))
}

fn of_python(directory: &Path) -> Result<f64> {
    let mut command = Command::new(python::interpreter());
    command
        .arg(python::peers().join("client.py"))
        .arg("--memory-of")
        .arg(directory);
    ask(&mut command)
}

fn ask(command: &mut Command) -> Result<f64> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let kibibytes: f64 = text
        .trim()
        .parse()
        .with_context(|| format!("{command:?} printed {text:?}"))?;
    Ok(kibibytes / 1024.0)
}

/// Implements `--memory-of`: prints kibibytes.
pub(crate) fn print(directory: &Path) -> Result<()> {
    let collector = MultiProcessCollector::new(directory)?;
    let before = peak()?;
    collector.encode_text(&mut String::new())?;
    println!("{}", peak()?.saturating_sub(before));
    Ok(())
}

/// Implements `--memory-of-prometheus`: prints kibibytes.
pub(crate) fn print_of_prometheus(series: usize) -> Result<()> {
    let registry = directories::counters_in_memory(series)?;
    let before = peak()?;
    scrapes::in_memory(&registry)?;
    println!("{}", peak()?.saturating_sub(before));
    Ok(())
}

/// The peak of this process's resident memory in kibibytes (proc_pid_status(5)).
fn peak() -> Result<u64> {
    let status =
        fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.context("/proc/self/status has no VmHWM")?;
    Ok(kibibytes.parse()?)
}
