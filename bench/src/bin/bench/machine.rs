//! Describes the machine and the commit of a measurement.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

/// Processor, memory, kernel and compiler.
pub(crate) fn describe() -> Result<String> {
    let cpus = read("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let memory = read("/proc/meminfo")?;
    let memory = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let memory = memory.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(format!(
        "{count} x {}, {:.0} GiB of memory, {}, {}",
        field("model name").unwrap_or_else(|| "processor".to_owned()),
        memory.unwrap_or_default() / 1024.0 / 1024.0,
        output("uname", &["-sr"])?,
        output("rustc", &["--version"])?,
    ))
}

/// Load average of the last minute. 0 if unknown.
pub(crate) fn load() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = load.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

pub(crate) fn today() -> Result<String> {
    output("date", &["-u", "+%F"])
}

/// The current commit, with the suffix `-dirty` if files were changed.
pub(crate) fn commit() -> Result<String> {
    output("git", &["describe", "--always", "--dirty"])
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {args:?}: {}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
