//! Information on processes from `/proc`, and signals.
//!
//! A process that exits during a query is not an error. It is left out of the result.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// The fields of `/proc/PID/stat` that tests need.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The pid.
    pub pid: u32,
    /// The name of its executable. The kernel truncates it to 15 bytes.
    pub name: String,
    /// `R` running, `S` sleeping, `T` stopped, `Z` zombie, and others (proc_pid_stat(5)).
    pub state: char,
    /// The pid of its parent.
    pub parent: u32,
}

impl Stat {
    /// Whether the process is a zombie: it has exited, but is not reaped.
    pub fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }

    fn parse(line: &str) -> Option<Self> {
        // The name is in parentheses, and may contain spaces and parentheses.
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Field numbers of proc_pid_stat(5) start at 1, and the state is number 3.
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            state: field(3)?.chars().next()?,
            parent: field(4)?.parse().ok()?,
        })
    }
}

/// The state of `pid`, or `None` if there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether `pid` exists and has not exited.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !stat.is_zombie())
}

/// Whether all threads of `pid` are stopped. It does nothing until SIGCONT or SIGKILL.
pub fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok())
        .all(|line| Stat::parse(&line).is_some_and(|stat| stat.state == 'T'))
}

/// All visible processes.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect()
}

/// The children of `parent`, including zombies.
pub fn children(parent: u32) -> Vec<Stat> {
    let mut children = all();
    children.retain(|stat| stat.parent == parent);
    children
}

/// The living processes that were started with `name=value` in their environment.
pub fn with_variable(name: &str, value: &str) -> Vec<Stat> {
    let wanted = format!("{name}={value}");
    let mut processes = all();
    processes.retain(|stat| {
        let environment = fs::read(format!("/proc/{}/environ", stat.pid)).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        !stat.is_zombie() && variables.any(|variable| variable == wanted.as_bytes())
    });
    processes
}

/// Sends a signal to any process.
///
/// # Errors
///
/// Returns an error if there is no such process.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), signal)
        .with_context(|| format!("cannot send {signal} to process {pid}"))
}

/// Sends a signal by its number, such as a real-time signal, which has no name.
///
/// # Errors
///
/// Returns an error if there is no such process or no such signal.
pub fn send_number(pid: u32, signal: i32) -> Result<()> {
    let command = format!("kill -{signal} {pid}");
    let status = Command::new("sh").args(["-c", &command]).status()?;
    ensure!(status.success(), "`{command}` failed, {status}");
    Ok(())
}

/// Sets a soft resource limit of a running process through prlimit(1), for example `nofile`. Returns the previous one.
///
/// # Errors
///
/// Returns an error if there is no such process or limit, or the limit is above the hard limit.
pub fn limit(pid: u32, resource: &str, soft: &str) -> Result<String> {
    let owner = fs::metadata(format!("/proc/{pid}"))
        .with_context(|| format!("there is no process {pid}"))?;
    // Without CAP_SYS_RESOURCE, root too may only change the limits of its own processes (prlimit(2)).
    let user = [
        format!("--reuid={}", owner.uid()),
        format!("--regid={}", owner.gid()),
    ];
    let pid = pid.to_string();
    let prlimit = |options: &[&str]| -> Result<String> {
        let mut command = Command::new("setpriv");
        command.args(&user).arg("--keep-groups");
        command.args(["prlimit", "--pid", &pid]).args(options);
        let output = command.output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed: {errors}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let option = format!("--{resource}");
    let before = prlimit(&["--raw", "--noheadings", "--output", "SOFT", &option])?;
    prlimit(&[&format!("{option}={soft}:")])?;
    Ok(before)
}

/// User and system CPU time of all threads of `pid`, with nanosecond resolution (clock_getcpuclockid(3)).
///
/// # Errors
///
/// Returns an error if there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?));
    let time = clock.and_then(clock_gettime);
    Ok(time
        .with_context(|| format!("there is no process {pid}"))?
        .into())
}

/// Bytes of physical memory that `pid` uses (`VmRSS` of proc_pid_status(5)).
///
/// # Errors
///
/// Returns an error if there is no such process, or it has ended.
pub fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("there is no process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.with_context(|| format!("process {pid} has exited"))?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_spaces_and_parentheses() {
        let line = "42 (a ) (b) S 7 42 42 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 100 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.pid, stat.name.as_str()), (42, "a ) (b"));
        assert_eq!((stat.state, stat.parent), ('S', 7));
    }

    #[test]
    fn this_process_is_alive_and_number_zero_is_not() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
        assert!(memory(std::process::id()).unwrap() > 1024);
    }
}
