//! The metric directory: by default private and removed at exit, and kept if it is configured.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use anyhow::Result;
use e2e::{Load, Program, Running, SOON, Signal, real_part, real_part::real_part};

use super::{REQUESTS, Scrape, Temporary, assert_refused, directory, names, pull};
use crate::support::stop;

const VARIABLE: &str = "PROMETHEUS_MULTIPROC_DIR";

fn answer(running: &Running, requests: u64) -> Result<f64> {
    let report = Load::on(running.addr()?)
        .clients(8)
        .requests(requests)
        .run()?;
    assert_eq!(report.statuses.get(&200), Some(&requests), "{report}");
    Ok(Scrape::of(running.addr()?)?.sum(REQUESTS))
}

#[test]
fn by_default_it_is_private_and_removed_with_the_program() -> Result<()> {
    for (signal, variable) in [
        (Signal::SIGTERM, None),
        (Signal::SIGINT, None),
        (Signal::SIGTERM, Some("")),
    ] {
        let runtime = Temporary::new(&format!("default-{signal}-{}", variable.is_some()))?;
        let mut program = pull().env("XDG_RUNTIME_DIR", runtime.path());
        if let Some(value) = variable {
            program = program.env(VARIABLE, value);
        }
        let mut running = program.start()?;
        let directory = directory(&running)?;
        assert_eq!(directory.parent(), Some(runtime.path()));
        assert_eq!(fs::metadata(&directory)?.mode() & 0o7777, 0o700);
        assert_eq!(answer(&running, 100)?, 100.0);
        running.signal(signal)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
        assert_eq!(names(runtime.path())?, [""; 0]);
    }
    Ok(())
}

#[test]
fn directories_of_killed_masters_are_reused() -> Result<()> {
    let runtime = Temporary::new("killed-master")?;
    let program = pull().env("XDG_RUNTIME_DIR", runtime.path());
    let mut first = Vec::new();
    for _ in 0..4 {
        let mut running = program.start()?;
        // A new run counts from zero, whatever the killed one has left.
        assert_eq!(answer(&running, 50)?, 50.0);
        running.signal(Signal::SIGKILL)?;
        running.wait_exit(SOON)?;
        running.wait_gone(SOON)?;
        let left = names(runtime.path())?;
        if first.is_empty() {
            first.clone_from(&left);
        }
        assert_eq!(left, first);
        assert_eq!(left.len(), 1);
    }
    stop(program.start()?)?;
    assert_eq!(names(runtime.path())?, [""; 0]);
    Ok(())
}

#[test]
fn a_configured_one_is_created_and_kept_and_only_our_leftovers_are_removed() -> Result<()> {
    let parent = Temporary::new("named")?;
    let path = parent.path().join("a/b");
    let program = pull().env(VARIABLE, &path);
    let running = program.start()?;
    assert_eq!(directory(&running)?, path);
    assert_eq!(fs::metadata(&path)?.mode() & 0o7777, 0o700);
    assert_eq!(answer(&running, 100)?, 100.0);
    // What a Python process with the pid 4711 would have left.
    let mut foreign = 0.0;
    for worker in ["worker-0", "worker-1"] {
        let file = path.join(format!("counter_{worker}.db"));
        fs::copy(
            file,
            path.join(format!("counter_47{worker}.db").replace("worker-", "")),
        )?;
    }
    fs::write(path.join("notes.txt"), "of somebody else")?;
    foreign += 100.0;
    assert_eq!(Scrape::of(running.addr()?)?.sum(REQUESTS), 100.0 + foreign);
    stop(running)?;
    assert!(names(&path)?.contains(&"counter_worker-0.db".to_owned()));

    let running = program.start()?;
    assert_eq!(Scrape::of(running.addr()?)?.sum(REQUESTS), foreign);
    assert_eq!(answer(&running, 10)?, foreign + 10.0);
    stop(running)?;
    assert_eq!(
        fs::read_to_string(path.join("notes.txt"))?,
        "of somebody else"
    );
    Ok(())
}

#[test]
fn a_second_master_on_the_same_directory_is_refused_and_changes_nothing() -> Result<()> {
    let shared = Temporary::new("second-master")?;
    let program = pull().env(VARIABLE, shared.path());
    let running = program.start()?;
    assert_eq!(answer(&running, 100)?, 100.0);
    let path = shared.path().to_string_lossy();
    let pid = running.pid().to_string();
    assert_refused(&program.run(SOON)?, 1, &[&path, &pid]);
    assert_eq!(answer(&running, 100)?, 200.0);
    Ok(())
}

#[test]
fn a_file_in_its_place_is_refused() -> Result<()> {
    let parent = Temporary::new("file")?;
    let path = parent.path().join("file");
    fs::write(&path, "precious")?;
    let ended = pull().env(VARIABLE, &path).run(SOON)?;
    assert_refused(&ended, 1, &[&path.to_string_lossy()]);
    assert_eq!(fs::read_to_string(&path)?, "precious");
    Ok(())
}

#[test]
fn one_that_cannot_be_written_is_refused() -> Result<()> {
    let parent = Temporary::new("read-only")?;
    // Another user, too, can reach what cannot be written.
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755))?;
    let path = parent.path().join("read-only");
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555))?;
    let Some(program) = without_privileges(pull().env(VARIABLE, &path))? else {
        return Ok(());
    };
    let ended = program.run(SOON)?;
    assert_refused(&ended, 1, &[&path.to_string_lossy(), "ermission denied"]);
    assert_eq!(names(&path)?, [""; 0]);
    Ok(())
}

/// The program as a user without root's permissions, or `None` if that is not possible here.
fn without_privileges(program: Program) -> Result<Option<Program>> {
    if !nix_is_root() {
        return Ok(Some(program));
    }
    let Some(setpriv) = real_part("setpriv", "Debian's package util-linux")? else {
        return Ok(None);
    };
    let setpriv = setpriv.to_string_lossy();
    let program = program.under(&[&setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]);
    if program.clone().arg("--version").run(SOON)?.status.success() {
        return Ok(Some(program));
    }
    real_part::skip("the user nobody may not execute what is built here")?;
    Ok(None)
}

fn nix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
