//! What processes use of the machine, as the kernel counts it.

use std::{fs, sync::OnceLock, time::Duration};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};

/// What one process uses, or all processes of a slot together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// User and system time. That of a slot includes processes that have ended.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident_memory: u64,
    /// Virtual memory, in bytes.
    pub virtual_memory: u64,
    /// Open file descriptors; `None` if there is no process, or this user may not count.
    pub open_fds: Option<u64>,
    /// When the newest process started, since the Unix epoch.
    pub start_time: Option<Duration>,
}

impl Usage {
    /// That of a process; `None` if it has been reaped.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let open_fds = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        Some(Self {
            cpu: time(stat.cpu),
            resident_memory: stat.resident * limit(SysconfVar::PAGE_SIZE, 4096),
            virtual_memory: stat.memory,
            open_fds: open_fds.map(|fds| fds.count() as u64),
            start_time: boot_time().map(|boot| boot + time(stat.start)),
        })
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.resident_memory += other.resident_memory;
        self.virtual_memory += other.virtual_memory;
        self.open_fds = match (self.open_fds, other.open_fds) {
            (Some(one), Some(another)) => Some(one + another),
            (one, another) => one.or(another),
        };
        self.start_time = self.start_time.max(other.start_time);
    }
}

/// User and system time of a process, in clock ticks; 0 if it has been reaped.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    Stat::read(pid).map_or(0, |stat| stat.cpu)
}

/// Clock ticks as a time.
pub(crate) fn time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / limit(SysconfVar::CLK_TCK, 100) as f64)
}

/// Some fields of `/proc/PID/stat`, which [proc_pid_stat(5)] numbers.
///
/// [proc_pid_stat(5)]: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
struct Stat {
    cpu: u64,
    start: u64,
    memory: u64,
    resident: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in parentheses, may itself have spaces and parentheses.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        // The first of these is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu: field(14)? + field(15)?,
            start: field(22)?,
            memory: field(23)?,
            resident: field(24)?,
        })
    }
}

/// When the machine booted, since the Unix epoch. It moves whenever the clock is set, and a process
/// started only once, so it is asked once. The clocks are asked because `/proc/stat` is hidden from
/// many services (`ProcSubset=pid` of systemd).
fn boot_time() -> Option<Duration> {
    static BOOT: OnceLock<Option<Duration>> = OnceLock::new();
    let ask = || {
        let [now, uptime] = [ClockId::CLOCK_REALTIME, ClockId::CLOCK_BOOTTIME]
            .map(|clock| clock_gettime(clock).ok().map(Duration::from));
        now?.checked_sub(uptime?)
    };
    *BOOT.get_or_init(ask)
}

fn limit(variable: SysconfVar, otherwise: u64) -> u64 {
    let found = sysconf(variable).ok().flatten();
    found.map_or(otherwise, |value| value.unsigned_abs())
}
