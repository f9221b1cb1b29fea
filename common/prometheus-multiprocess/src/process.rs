//! What the kernel knows of a process that holds an identifier: never stored, read at the scrape.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// A process, told from a later one with the same pid by its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the boot; 0 if that is unknown.
    pub(crate) start: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn current() -> Owner {
        let pid = std::process::id();
        let start = Stat::read(pid).map_or(0, |stat| stat.start);
        Owner { pid, start }
    }
}

/// The metrics of a process, as every Prometheus client library names them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessMetrics {
    /// User and system time, in seconds.
    pub(crate) cpu: f64,
    /// Resident memory, in bytes.
    pub(crate) resident: f64,
    /// Virtual memory, in bytes.
    pub(crate) memory: f64,
    /// Open file descriptors; `None` if this user may not count them.
    pub(crate) open_fds: Option<f64>,
    /// Start of the process, in seconds of Unix time.
    pub(crate) start: f64,
}

/// How a metric is named, typed, explained and taken from [`ProcessMetrics`].
type Described = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ProcessMetrics) -> Option<f64>,
);

impl ProcessMetrics {
    /// The metrics, in the order of the output.
    pub(crate) const ALL: [Described; 5] = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            |metrics| Some(metrics.cpu),
        ),
        (
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            |metrics| metrics.open_fds,
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            |metrics| Some(metrics.resident),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            |metrics| Some(metrics.start),
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            |metrics| Some(metrics.memory),
        ),
    ];
}

/// Reads the metrics of `owner`; `None` if it has ended, even if another process has its pid.
pub(crate) fn read(owner: Owner) -> Option<ProcessMetrics> {
    let stat = Stat::read(owner.pid)?;
    if stat.start != owner.start {
        return None;
    }
    let ticks = limit(SysconfVar::CLK_TCK, 100.0);
    let open_fds = fs::read_dir(format!("/proc/{}/fd", owner.pid)).ok();
    Some(ProcessMetrics {
        cpu: stat.cpu as f64 / ticks,
        resident: stat.resident as f64 * limit(SysconfVar::PAGE_SIZE, 4096.0),
        memory: stat.memory as f64,
        open_fds: open_fds.map(|fds| fds.count() as f64),
        start: boot_time()? + stat.start as f64 / ticks,
    })
}

/// Some fields of `/proc/PID/stat`; see proc_pid_stat(5).
struct Stat {
    cpu: u64,
    start: u64,
    memory: u64,
    resident: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in parentheses, may itself have spaces and parentheses.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The first of these is field 3 of the manual page.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu: field(14)? + field(15)?,
            start: field(22)?,
            memory: field(23)?,
            resident: field(24)?,
        })
    }
}

/// When the machine booted, in seconds of Unix time.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.parse().ok()
}

fn limit(variable: SysconfVar, otherwise: f64) -> f64 {
    match sysconf(variable) {
        Ok(Some(value)) => value as f64,
        _ => otherwise,
    }
}
