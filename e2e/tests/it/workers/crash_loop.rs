//! A worker that ends at every boot: it is started again after growing pauses, and nobody else notices.

use std::{env, fs, path::PathBuf, process};

use anyhow::Result;
use e2e::{Load, SOON, Signal, program};

use super::{hello, wait_for_new_worker};

/// A file whose presence makes a worker exit with code 3 while it boots.
struct CrashSwitch(PathBuf);

impl CrashSwitch {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("e2e-crash-{}-{name}", process::id())))
    }

    fn set(&self) -> Result<()> {
        Ok(fs::write(&self.0, "")?)
    }
}

impl Drop for CrashSwitch {
    fn drop(&mut self) {
        // It may never have been set.
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_slot_that_crashes_at_every_boot_waits_longer_each_time_and_harms_no_other() -> Result<()> {
    let switch = CrashSwitch::new("loop");
    let hello = hello(2).env("CRASH_AT_BOOT", &switch.0).start()?;
    let old = hello.ready()?.serving();
    switch.set()?;
    program::send(old[0], Signal::SIGKILL)?;
    wait_for_crashes(&hello, 1)?;

    // Close clients try every slot over and over.
    let traffic = Load::on(hello.addr()?)
        .clients(16)
        .keep_alive(false)
        .start()?;
    traffic.wait_for_answers(1000, SOON)?;
    wait_for_crashes(&hello, 5)?;
    traffic.wait_for_answers(1000, SOON)?;
    assert_eq!(
        hello
            .workers()
            .iter()
            .filter(|pid| old.contains(pid))
            .count(),
        1
    );

    drop(switch);
    let new = wait_for_new_worker(&hello, &old)?;
    traffic.wait_for_answers(1000, SOON)?;
    let report = traffic.stop()?;
    assert_eq!(
        report.answered,
        report.total(),
        "{report}\n{}",
        hello.console()
    );
    assert!(report.pids.contains_key(&old[1]), "{report}");
    assert!(report.pids.contains_key(&new), "{report}");
    Ok(())
}

fn wait_for_crashes(hello: &e2e::Running, count: usize) -> Result<()> {
    let crash = |line: &str| line.contains("exit status: 3");
    e2e::poll(&format!("{count} crashes at boot"), SOON, || {
        (hello.console().count(crash) >= count).then_some(())
    })
}

#[test]
fn a_worker_that_dies_at_the_first_boot_ends_the_program_with_its_own_error() -> Result<()> {
    let switch = CrashSwitch::new("first");
    switch.set()?;
    let ended = hello(2).env("CRASH_AT_BOOT", &switch.0).run(SOON)?;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let path = switch.0.to_string_lossy();
    let own = ended.stderr.lines().filter(|line| line.contains(&*path));
    assert_eq!(own.count(), 1, "{}", ended.stderr);
    Ok(())
}
