//! Measures the memory of one scrape.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use bench::{Goal, Row, Section, python};
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
        "Increase of the peak memory of a new process that scrapes once. Of ours the most are pages of the workers' files, which are in memory anyway and are shared with the workers; `private` is what the scrape adds (RssAnon in proc_pid_status(5), with the text). `prometheus` gathers and encodes the metrics of a single process; the metrics themselves are not included.",
        COMMAND,
    );
    for (workers, series) in [(8, 1_000), (8, 10_000), (32, 10_000)] {
        let shape = Shape { workers, series };
        let directory = directories::counters(root, shape)?;
        let name = format!("{shape} counters");
        let (ours, private) = ours(&directory)?;
        let row = |peer, theirs| Row::against(&name, "MiB", &[ours], peer, &[theirs]);
        section
            .rows
            .push(row("prometheus, 1 process", of_prometheus(series)?));
        if has_python {
            section.rows.push(row("Python", of_python(&directory)?));
        }
        let row = Row::new(format!("{name}, private"), "MiB", &[private]);
        section.rows.push(match shape.workers * shape.series {
            80_000 => row.goal(Goal::AtMost(6.0)),
            _ => row,
        });
    }
    Ok(section)
}

/// A row without a peer.
pub(crate) fn row(name: &str, directory: &Path) -> Result<Row> {
    Ok(Row::new(name, "MiB", &[ours(directory)?.0]))
}

/// Memory of a scrape in a new process, and the private part of it, in mebibytes.
fn ours(directory: &Path) -> Result<(f64, f64)> {
    let program = std::env::current_exe().context("cannot tell which program is running")?;
    let figures = ask(Command::new(program).arg("--memory-of").arg(directory))?;
    ensure!(figures.len() == 2, "--memory-of printed {figures:?}");
    Ok((figures[0], figures[1]))
}

/// Memory for gathering and encoding `series` series with `prometheus`, in mebibytes.
fn of_prometheus(series: usize) -> Result<f64> {
    let program = std::env::current_exe().context("cannot tell which program is running")?;
    ask_one(
        Command::new(program)
            .arg("--memory-of-prometheus")
            .arg(series.to_string()),
    )
}

fn of_python(directory: &Path) -> Result<f64> {
    let mut command = Command::new(python::interpreter());
    command
        .arg(python::peers().join("client.py"))
        .arg("--memory-of")
        .arg(directory);
    ask_one(&mut command)
}

fn ask_one(command: &mut Command) -> Result<f64> {
    let figures = ask(command)?;
    figures.first().copied().context("no figure was printed")
}

/// The kibibytes that a command prints, in mebibytes.
fn ask(command: &mut Command) -> Result<Vec<f64>> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    text.split_whitespace()
        .map(|word| {
            let kibibytes: f64 = word
                .parse()
                .with_context(|| format!("{command:?} printed {text:?}"))?;
            Ok(kibibytes / 1024.0)
        })
        .collect()
}

/// Implements `--memory-of`: prints kibibytes, all and private ones.
pub(crate) fn print(directory: &Path) -> Result<()> {
    let collector = MultiProcessCollector::new(directory)?;
    let before = [status("VmHWM:")?, status("RssAnon:")?];
    let mut text = String::new();
    collector.encode_text(&mut text)?;
    let after = [status("VmHWM:")?, status("RssAnon:")?];
    drop(text);
    println!(
        "{} {}",
        after[0].saturating_sub(before[0]),
        after[1].saturating_sub(before[1])
    );
    Ok(())
}

/// Implements `--memory-of-prometheus`: prints kibibytes.
pub(crate) fn print_of_prometheus(series: usize) -> Result<()> {
    let registry = directories::counters_in_memory(series)?;
    let before = status("VmHWM:")?;
    scrapes::in_memory(&registry)?;
    println!("{}", status("VmHWM:")?.saturating_sub(before));
    Ok(())
}

/// A figure of this process's memory in kibibytes (proc_pid_status(5)): `VmHWM:` is the peak of what
/// is resident, and `RssAnon:` what belongs to no file now.
fn status(name: &str) -> Result<u64> {
    let status =
        fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.with_context(|| format!("/proc/self/status has no {name}"))?;
    Ok(kibibytes.parse()?)
}
