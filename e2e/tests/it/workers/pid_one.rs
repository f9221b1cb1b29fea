//! As PID 1 of a container the master also reaps orphaned processes, and stops on TERM.

use std::{collections::BTreeSet, process::Command};

use anyhow::{Context, Result, ensure};
use e2e::{Running, SOON, Signal, http, poll, process, real_part};

use super::hello;

const UNSHARE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// The example program as PID 1 of its own namespace, and its pid outside. `None` if namespaces are not permitted.
fn start_as_pid_one() -> Result<Option<(Running, u32)>> {
    let how = "apt install util-linux";
    if real_part::real_part("unshare", how)?.is_none()
        || real_part::real_part("nsenter", how)?.is_none()
    {
        return Ok(None);
    }
    let permitted = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .arg("true")
        .output()?;
    if !permitted.status.success() {
        real_part::skip("a new pid namespace is not permitted here; run as root")?;
        return Ok(None);
    }
    let running = hello(2).under(&UNSHARE).start()?;
    assert_eq!(running.ready()?.master(), Some(1), "{}", running.console());
    let master = running.workers().pop().context("unshare has no child")?;
    Ok(Some((running, master)))
}

#[test]
fn as_pid_one_it_stops_on_term() -> Result<()> {
    let Some((mut running, master)) = start_as_pid_one()? else {
        return Ok(());
    };
    assert_eq!(http::get(running.addr()?, "/")?.status, 200);
    process::send(master, Signal::SIGTERM)?;
    assert_eq!(
        running.wait_exit(SOON)?.code(),
        Some(0),
        "{}",
        running.console()
    );
    running.wait_gone(SOON)
}

#[test]
fn as_pid_one_it_reaps_orphans_and_keeps_its_workers() -> Result<()> {
    let Some((running, master)) = start_as_pid_one()? else {
        return Ok(());
    };
    let workers = |master| {
        let children = process::children(master);
        let mut pids: Vec<_> = children.iter().map(|child| child.pid).collect();
        pids.sort_unstable();
        pids
    };
    let before = workers(master);
    // The shell leaves a process behind, whose parent is then PID 1. Exit code 3 means something to gunicorn.
    let entered = Command::new("nsenter")
        .args(["--target", &master.to_string(), "--pid", "--mount"])
        .args(["sh", "-c", "(sleep 1; exit 3) & exit 0"])
        .status()?;
    ensure!(entered.success(), "cannot enter the namespace of {master}");
    poll("the stranger", SOON, || {
        (workers(master).len() == 3).then_some(())
    })?;
    poll("the stranger to be reaped", SOON, || {
        (workers(master).len() == 2).then_some(())
    })?;
    assert_eq!(workers(master), before, "{}", running.console());
    assert_eq!(http::get(running.addr()?, "/")?.status, 200);
    Ok(())
}

#[test]
fn as_pid_one_it_reloads_and_scales() -> Result<()> {
    let Some((running, master)) = start_as_pid_one()? else {
        return Ok(());
    };
    let workers = || -> BTreeSet<u32> {
        let children = process::children(master).into_iter();
        children.map(|child| child.pid).collect()
    };
    let before = workers();
    process::send(master, Signal::SIGHUP)?;
    poll("new workers", SOON, || {
        let now = workers();
        (now.len() == 2 && now.is_disjoint(&before)).then_some(())
    })?;
    for (signal, count) in [(Signal::SIGTTIN, 3), (Signal::SIGTTOU, 2)] {
        process::send(master, signal)?;
        poll(&format!("{count} workers"), SOON, || {
            (workers().len() == count).then_some(())
        })?;
    }
    assert_eq!(http::get(running.addr()?, "/")?.status, 200);
    Ok(())
}
