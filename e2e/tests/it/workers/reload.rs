//! HUP replaces the workers one by one with the current program on disk, without losing a request.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, Signal, Temporary, http, load::Traffic, poll, process};

use super::{CLIENTS, FOREVER, Switch, hello, wait_for_answers_from, wait_for_workers};
use crate::support::assert_all_answered;

#[test]
fn a_reload_under_load_from_keep_alive_clients_loses_nothing() -> Result<()> {
    a_reload_loses_nothing(true)
}

#[test]
fn a_reload_under_load_from_clients_that_close_loses_nothing() -> Result<()> {
    a_reload_loses_nothing(false)
}

fn a_reload_loses_nothing(keep_alive: bool) -> Result<()> {
    let hello = hello(4).start()?;
    let traffic = load(&hello, keep_alive)?;
    let mut workers = hello.workers();
    for round in 1..=3 {
        hello.signal(Signal::SIGHUP)?;
        wait_for_reports(&hello, round)?;
        workers = wait_for_workers(&hello, 4, &workers)?;
        traffic.wait_for_answers(500, SOON)?;
    }
    wait_for_answers_from(&hello, &workers)?;
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    assert_eq!(report.unclean_closes, 0, "{report}");
    let clean = "reloaded: 4 workers replaced, 4 drained cleanly, 0 connections cut";
    assert_eq!(
        hello.console().count(|line| line.contains(clean)),
        3,
        "{}",
        hello.console()
    );
    Ok(())
}

fn load(hello: &Running, keep_alive: bool) -> Result<Traffic> {
    let load = Load::on(hello.addr()?)
        .clients(CLIENTS)
        .keep_alive(keep_alive);
    let traffic = load.start()?;
    traffic.wait_for_answers(1000, SOON)?;
    Ok(traffic)
}

/// Waits until the program has logged this number of successful reloads.
fn wait_for_reports(hello: &Running, count: usize) -> Result<()> {
    let reloaded = |line: &str| line.contains("reloaded: ");
    let told = poll("the reload to be done", 2 * SOON, || {
        (hello.console().count(reloaded) >= count).then_some(())
    });
    told.with_context(|| hello.console().to_string())
}

#[test]
fn a_request_in_progress_survives_a_reload_while_others_are_served() -> Result<()> {
    let hello = hello(2).start()?;
    let old = hello.workers();
    let mut slow = http::Connection::open(hello.addr()?)?;
    slow.send_get("/sleep?ms=2000")?;
    hello.signal(Signal::SIGHUP)?;
    let new = poll("two new workers", SOON, || {
        let workers = hello.workers().into_iter();
        let new: Vec<_> = workers.filter(|pid| !old.contains(pid)).collect();
        (new.len() == 2).then_some(new)
    })?;
    wait_for_answers_from(&hello, &new)?;
    let answer = slow.receive()?;
    assert!(
        answer.pid().is_some_and(|pid| old.contains(&pid)),
        "{answer:?}"
    );
    wait_for_workers(&hello, 2, &old)?;
    Ok(())
}

/// The example program, deployed to its own directory.
struct Deployed(Temporary);

impl Deployed {
    fn new(name: &str) -> Result<Self> {
        let deployed = Self(Temporary::new(name)?);
        deployed.deploy(|file| Ok(fs::copy(hello(1).executable()?, file).map(|_| ())?))?;
        Ok(deployed)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("service")
    }

    fn program(&self, workers: usize) -> Program {
        let program = Program::found(self.path()).env("PORT", "0");
        program.option("--workers", workers)
    }

    /// Atomically replaces the program file, like a deployment.
    fn deploy(&self, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let new = self.0.path().join("new");
        write(&new)?;
        Ok(fs::rename(new, self.path())?)
    }

    fn deploy_text(&self, text: &str, mode: u32) -> Result<()> {
        self.deploy(|file| {
            fs::write(file, text)?;
            Ok(fs::set_permissions(file, fs::Permissions::from_mode(mode))?)
        })
    }

    /// Identifies the current file.
    fn inode(&self) -> Result<u64> {
        Ok(fs::metadata(self.path())?.ino())
    }
}

/// Identifies the file that a process runs.
fn inode_of(pid: u32) -> Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/exe"))?.ino())
}

#[test]
fn a_reload_runs_the_program_that_is_on_disk_now_and_so_do_later_respawns() -> Result<()> {
    let deployed = Deployed::new("good")?;
    let service = deployed.program(2).start()?;
    let (old, old_inode) = (service.workers(), deployed.inode()?);

    deployed.deploy(|file| Ok(fs::copy(hello(1).executable()?, file).map(|_| ())?))?;
    let inode = deployed.inode()?;
    assert_ne!(inode, old_inode);
    process::send(old[0], Signal::SIGKILL)?;
    let before = poll("a worker in place of the killed one", SOON, || {
        let workers = service.workers();
        (workers.len() == 2 && !workers.contains(&old[0])).then_some(workers)
    })?;
    wait_for_answers_from(&service, &before)?;
    for pid in &before {
        assert_eq!(inode_of(*pid)?, old_inode, "a crash is no deploy");
    }

    service.signal(Signal::SIGHUP)?;
    wait_for_reports(&service, 1)?;
    let workers = wait_for_workers(&service, 2, &before)?;
    process::send(workers[0], Signal::SIGKILL)?;
    let after = poll("a worker in place of the killed one", SOON, || {
        let workers_now = service.workers();
        (workers_now.len() == 2 && !workers_now.contains(&workers[0])).then_some(workers_now)
    })?;
    wait_for_answers_from(&service, &after)?;
    for pid in workers[1..].iter().chain(&after) {
        assert_eq!(inode_of(*pid)?, inode);
    }
    Ok(())
}

#[test]
fn a_broken_program_on_disk_is_reported_and_the_old_workers_stay() -> Result<()> {
    let deployed = Deployed::new("broken")?;
    let service = deployed.program(2).start()?;
    let workers = service.workers();
    let traffic = load(&service, true)?;

    let breaks: [&dyn Fn() -> Result<()>; 5] = [
        &|| deployed.deploy_text("#!/bin/sh\nexit 1\n", 0o755),
        &|| deployed.deploy_text("this is no program\n", 0o755),
        &|| deployed.deploy_text("", 0o755),
        &|| deployed.deploy_text("#!/bin/sh\nexit 1\n", 0o644),
        &|| Ok(fs::remove_file(deployed.path())?),
    ];
    for (told, break_it) in (1..).zip(breaks) {
        break_it()?;
        service.signal(Signal::SIGHUP)?;
        let error = |line: &str| line.contains("reload failed") || line.contains("cannot reload");
        let failed = poll("the reload to fail", SOON, || {
            (service.console().count(error) == told).then_some(())
        });
        failed.with_context(|| format!("{told}: {}", service.console()))?;
        traffic.wait_for_answers(200, SOON)?;
    }
    wait_for_workers(&service, 2, &[])?;
    let mut now = service.workers();
    let mut before = workers;
    now.sort_unstable();
    before.sort_unstable();
    assert_eq!(now, before, "{}", service.console());
    let report = traffic.stop()?;
    assert_all_answered(&report, &service);

    // Mended, it is taken.
    deployed.deploy(|file| Ok(fs::copy(hello(1).executable()?, file).map(|_| ())?))?;
    service.signal(Signal::SIGHUP)?;
    wait_for_reports(&service, 1)?;
    wait_for_workers(&service, 2, &before)?;
    Ok(())
}

#[test]
fn a_new_worker_that_crashes_or_hangs_at_boot_ends_the_reload_and_the_old_ones_stay() -> Result<()>
{
    let (crash, hang) = (Switch::new("crash")?, Switch::new("hang")?);
    let hello = hello(2)
        .env("CRASH_AT_BOOT", crash.path())
        .env("HANG_AT_BOOT", hang.path())
        .option("--boot-timeout", 1)
        .start()?;
    let mut workers = hello.workers();
    workers.sort_unstable();
    let traffic = load(&hello, false)?;
    for (told, switch) in (1..).zip([&crash, &hang]) {
        switch.set()?;
        hello.signal(Signal::SIGHUP)?;
        let failed = poll("the reload to fail", SOON, || {
            let failed = |line: &str| line.contains("reload failed");
            (hello.console().count(failed) == told).then_some(())
        });
        failed.with_context(|| hello.console().to_string())?;
        fs::remove_file(switch.path())?;
        let mut now = wait_for_workers(&hello, 2, &[])?;
        now.sort_unstable();
        assert_eq!(now, workers, "{}", hello.console());
    }
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    Ok(())
}

#[test]
fn term_during_a_reload_stops_although_a_replacement_boots() -> Result<()> {
    let hang = Switch::new("hang")?;
    let mut hello = hello(2).env("HANG_AT_BOOT", hang.path()).start()?;
    let traffic = load(&hello, false)?;
    hang.set()?;
    hello.signal(Signal::SIGHUP)?;
    poll("a replacement", SOON, || {
        (hello.workers().len() == 3).then_some(())
    })?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(
        hello.wait_exit(SOON)?.code(),
        Some(0),
        "{}",
        hello.console()
    );
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    hello.wait_gone(SOON)
}

#[test]
fn a_stop_also_stops_workers_that_a_reload_is_draining() -> Result<()> {
    let mut hello = hello(2).option("--graceful-timeout", 3600).start()?;
    let old = hello.workers();
    let mut endless = http::Connection::open(hello.addr()?)?;
    endless.send_get(FOREVER)?;
    hello.signal(Signal::SIGHUP)?;
    poll(
        "one of the old workers to be left with two new ones",
        SOON,
        || {
            let workers = hello.workers();
            (workers.len() == 3 && workers.iter().filter(|pid| old.contains(pid)).count() == 1)
                .then_some(())
        },
    )?;
    hello.signal(Signal::SIGINT)?;
    assert!(endless.receive().is_err());
    assert_eq!(
        hello.wait_exit(SOON)?.code(),
        Some(0),
        "{}",
        hello.console()
    );
    hello.wait_for_line(|line| line.contains("stopped, 1 connection cut"), SOON)?;
    hello.wait_gone(SOON)
}

#[test]
fn a_reload_requested_during_a_start_or_a_reload_runs_afterwards() -> Result<()> {
    let mut hello = hello(2).spawn()?;
    poll("a first worker", SOON, || hello.workers().pop())?;
    hello.signal(Signal::SIGHUP)?;
    hello.wait_ready(SOON)?;
    wait_for_reports(&hello, 1)?;
    let replacing = |line: &str| line.contains("SIGHUP: replacing");
    hello.signal(Signal::SIGHUP)?;
    poll("the second reload", SOON, || {
        (hello.console().count(replacing) >= 2).then_some(())
    })?;
    hello.signal(Signal::SIGHUP)?;
    poll("the third reload", SOON, || {
        (hello.console().count(replacing) == 3).then_some(())
    })?;
    let workers = poll("all but the last two workers to have gone", SOON, || {
        let workers = hello.workers();
        (workers.len() == 2).then_some(workers)
    })?;
    wait_for_answers_from(&hello, &workers)
}
