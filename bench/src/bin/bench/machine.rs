//! Describes the machine and the commit of a measurement.

use std::{fs, process::Command, thread, time::Duration};

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

/// The share of processor time that nothing used during some seconds, 0 to 1.
pub(crate) fn idle() -> Result<f64> {
    let [idle_before, all_before] = processor_time()?;
    thread::sleep(Duration::from_secs(5));
    let [idle, all] = processor_time()?;
    Ok((idle - idle_before) / (all - all_before))
}

/// Idle time and all time of the processors since boot, in ticks.
fn processor_time() -> Result<[f64; 2]> {
    let stat = read("/proc/stat")?;
    // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
    let first = stat.lines().next().unwrap_or_default();
    let times: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|time| time.parse().ok())
        .collect();
    let idle = times.get(3).context("/proc/stat has no idle time")?;
    Ok([*idle, times.iter().sum()])
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
