//! The process as the conventions describe it.

use std::{env, process};

use opentelemetry::KeyValue;
use opentelemetry_semantic_conventions::attribute::{
    PROCESS_COMMAND, PROCESS_CREATION_TIME, PROCESS_PID,
};

/// What the [conventions] require of a process, and what they recommend and a process
/// knows without asking others.
///
/// The name of its owner would be a look-up that may wait for a directory service. The
/// name of the executable belongs to an entity whose identity is a hash of the whole
/// file. Arguments may be secret.
///
/// [conventions]: https://opentelemetry.io/docs/specs/semconv/resource/process/
pub(crate) fn attributes() -> impl Iterator<Item = KeyValue> {
    let command = env::args_os().next().map(|command| {
        let command = command.to_string_lossy().into_owned();
        KeyValue::new(PROCESS_COMMAND, command)
    });
    let created = created().map(|time| KeyValue::new(PROCESS_CREATION_TIME, time));
    let pid = KeyValue::new(PROCESS_PID, i64::from(process::id()));
    [Some(pid), created, command].into_iter().flatten()
}

/// When this process was created, in ISO 8601, to a hundredth of a second.
#[cfg(target_os = "linux")]
fn created() -> Option<String> {
    use std::{sync::LazyLock, time::Duration};

    use jiff::Timestamp;
    use nix::{
        time::{ClockId, clock_gettime},
        unistd::{SysconfVar, sysconf},
    };

    // One for all signals: what is computed later differs by a little.
    static CREATED: LazyLock<Option<String>> = LazyLock::new(|| {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // proc_pid_stat(5): the name of the program, in brackets, may have blanks. Field
        // 22 is the start in clock ticks since boot.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: u64 = fields.split_whitespace().nth(22 - 3)?.parse().ok()?;
        let a_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let since_boot = Duration::from_millis(ticks.checked_mul(1_000)?.checked_div(a_second)?);
        let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
        let created = Timestamp::now()
            .checked_sub(now.checked_sub(since_boot)?)
            .ok()?;
        Some(format!("{created:.2}"))
    });
    CREATED.clone()
}

#[cfg(not(target_os = "linux"))]
fn created() -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_process_was_created_before_now_and_after_its_machine_booted() {
        let created: jiff::Timestamp = created().unwrap().parse().unwrap();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let age = SystemTime::now().duration_since(created.into()).unwrap();
        assert!(age < Duration::from_secs_f64(uptime), "{age:?}");
        // Both are the time of this very process.
        let proc = std::fs::metadata("/proc/self").unwrap();
        let listed = proc.modified().unwrap();
        let apart = listed.duration_since(created.into()).unwrap_or_default();
        assert!(apart < Duration::from_secs(600), "{apart:?}");
    }
}
