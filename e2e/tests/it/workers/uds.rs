//! Serving on a Unix domain socket: the socket file, and a stop without losing a request.

use std::{
    fs::{self, File},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use e2e::{Address, Load, Program, SOON, Signal, Temporary, http, poll, process};

use nix::fcntl::{Flock, FlockArg};

use super::{bad_input::assert_refused, hello, stop_under_load::ROUNDS, wait_for_new_worker};

const CLIENTS: usize = 64;

fn hello_on(path: &Path, workers: usize) -> Program {
    hello(workers).option("--uds", path.display())
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o7777)
}

#[test]
fn every_worker_serves_on_the_socket_and_the_ready_line_names_it() -> Result<()> {
    let directory = Temporary::new("uds")?;
    let path = directory.path().join("app.sock");
    let mut hello = hello_on(&path, 2).option("--hang-timeout", 0).start()?;
    assert_eq!(hello.address()?, Address::Unix(path.clone()));
    let load = Load::on(path.clone()).clients(16).keep_alive(false);
    let report = load.requests(2000).run()?;
    assert_eq!(report.answered, 2000, "{report}");
    assert_eq!(report.pids.len(), 2, "{report}");
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    assert!(!path.exists());
    hello.wait_gone(SOON)
}

#[test]
fn a_stop_under_load_loses_nothing() -> Result<()> {
    let directory = Temporary::new("uds-term")?;
    let path = directory.path().join("app.sock");
    for round in 0..ROUNDS {
        for (workers, threads, keep_alive) in [(4, 1, true), (4, 1, false), (1, 2, false)] {
            stop_loses_nothing(&path, workers, threads, keep_alive)
                .with_context(|| format!("in round {round}, keep-alive {keep_alive}"))?;
        }
    }
    Ok(())
}

fn stop_loses_nothing(path: &Path, workers: usize, threads: usize, keep_alive: bool) -> Result<()> {
    let mut hello = hello_on(path, workers)
        .option("--threads", threads)
        .start()?;
    let load = Load::on(path.to_owned()).clients(CLIENTS);
    let traffic = load.keep_alive(keep_alive).start()?;
    traffic.wait_for_answers(1000, SOON)?;
    hello.signal(Signal::SIGTERM)?;
    let status = hello.wait_exit(2 * SOON)?;
    traffic.wait_for_refusals(CLIENTS as u64, SOON)?;
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    assert_eq!(report.accepted_after_refusal, 0, "{report}");
    assert_eq!(status.code(), Some(0), "{}", hello.console());
    hello.wait_gone(SOON)
}

#[test]
fn a_program_with_one_process_serves_on_the_socket_and_stops_without_loss() -> Result<()> {
    let directory = Temporary::new("uds-alone")?;
    let path = directory.path().join("app.sock");
    for _ in 0..ROUNDS {
        let mut alone = Program::new("metrics-single-process-pull")
            .option("--uds", path.display())
            .start()?;
        let load = Load::on(path.clone()).clients(CLIENTS).keep_alive(false);
        let traffic = load.start()?;
        traffic.wait_for_answers(500, SOON)?;
        assert_eq!(http::get(path.clone(), "/metrics")?.status, 200);
        alone.signal(Signal::SIGTERM)?;
        assert_eq!(alone.wait_exit(SOON)?.code(), Some(0));
        let report = traffic.stop()?;
        assert_eq!(report.lost(), 0, "{report}\n{}", alone.console());
        assert!(!path.exists());
    }
    Ok(())
}

#[test]
fn a_killed_worker_is_replaced_on_the_same_socket() -> Result<()> {
    let directory = Temporary::new("uds-kill")?;
    let path = directory.path().join("app.sock");
    let hello = hello_on(&path, 2).start()?;
    let old = hello.ready()?.serving();
    for pid in &old {
        process::send(*pid, Signal::SIGKILL)?;
    }
    wait_for_new_worker(&hello, &old)?;
    Ok(())
}

#[test]
fn by_default_only_the_user_may_connect_with_any_umask() -> Result<()> {
    let directory = Temporary::new("uds-mode")?;
    let path = directory.path().join("app.sock");
    for (umask, option, expected) in [
        ("0000", None, 0o600),
        ("0077", Some("660"), 0o660),
        ("0022", Some("666"), 0o666),
    ] {
        let with_umask = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"];
        let mut program = hello_on(&path, 1).under(&with_umask);
        if let Some(mode) = option {
            program = program.option("--uds-mode", mode);
        }
        let _running = program.start()?;
        assert_eq!(
            mode(&path)?,
            expected,
            "umask {umask}, --uds-mode {option:?}"
        );
    }
    Ok(())
}

#[test]
fn the_socket_of_a_killed_server_is_replaced() -> Result<()> {
    let directory = Temporary::new("uds-stale")?;
    let path = directory.path().join("app.sock");
    let mut first = hello_on(&path, 2).start()?;
    first.signal(Signal::SIGKILL)?;
    first.wait_exit(SOON)?;
    assert!(path.exists());
    let second = hello_on(&path, 2).start()?;
    let pid = http::get(path.clone(), "/")?.pid();
    assert!(second.workers().iter().any(|worker| Some(*worker) == pid));
    Ok(())
}

#[test]
fn a_socket_in_use_is_refused_and_stays() -> Result<()> {
    let directory = Temporary::new("uds-live")?;
    let path = directory.path().join("app.sock");
    let first = hello_on(&path, 2).start()?;
    let ended = hello_on(&path, 2).run(SOON)?;
    assert_refused(&ended, 1, &[&path.display().to_string(), "--uds"]);
    let pid = http::get(path.clone(), "/")?.pid();
    assert!(first.workers().iter().any(|worker| Some(*worker) == pid));

    // One that does not even accept, with a full queue.
    let busy = directory.path().join("busy.sock");
    let _busy = UnixListener::bind(&busy)?;
    let ended = hello_on(&busy, 2).run(SOON)?;
    assert_refused(&ended, 1, &[&busy.display().to_string()]);
    assert!(busy.exists());
    Ok(())
}

#[test]
fn one_of_several_servers_that_start_on_a_stale_socket_serves() -> Result<()> {
    let directory = Temporary::new("uds-race")?;
    let path = directory.path().join("app.sock");
    drop(UnixListener::bind(&path)?);
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(hello_on(&path, 1).spawn()?);
    }
    servers.retain_mut(|server| server.wait_ready(SOON).is_ok());
    assert_eq!(servers.len(), 1);
    let pid = http::get(path, "/")?.pid().context("nobody answered")?;
    assert_eq!(servers[0].workers(), [pid]);
    Ok(())
}

#[test]
fn a_file_that_is_not_a_socket_is_never_removed() -> Result<()> {
    let directory = Temporary::new("uds-file")?;
    let file = directory.path().join("notes.txt");
    fs::write(&file, "precious")?;
    let link = directory.path().join("link.sock");
    std::os::unix::fs::symlink("nowhere", &link)?;
    for path in [&file, &link, &directory.path().to_owned()] {
        let ended = hello_on(path, 1).run(SOON)?;
        assert_refused(&ended, 1, &[&path.display().to_string(), "is not a socket"]);
    }
    assert_eq!(fs::read_to_string(&file)?, "precious");
    assert!(link.is_symlink());
    Ok(())
}

#[test]
fn an_invalid_path_is_refused_with_advice() -> Result<()> {
    let directory = Temporary::new("uds-path")?;
    let long = directory.path().join("x".repeat(108));
    let ended = hello_on(&long, 1).run(SOON)?;
    assert_refused(&ended, 1, &["bytes", "shorter"]);
    let nowhere = directory.path().join("no/app.sock");
    let ended = hello_on(&nowhere, 1).run(SOON)?;
    assert_refused(
        &ended,
        1,
        &[&nowhere.display().to_string(), "create its directory"],
    );
    let ended = hello_on(&directory.path().join("a.sock"), 1)
        .option("--uds-mode", "rw")
        .run(SOON)?;
    assert_refused(&ended, 2, &["--uds-mode", "octal"]);
    Ok(())
}

#[test]
fn a_socket_that_was_replaced_stays_at_the_stop() -> Result<()> {
    let directory = Temporary::new("uds-replaced")?;
    let path: PathBuf = directory.path().join("app.sock");
    let mut hello = hello_on(&path, 1).start()?;
    fs::remove_file(&path)?;
    let _other = UnixListener::bind(&path)?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(hello.wait_exit(SOON)?.code(), Some(0));
    poll("the other's socket", SOON, || path.exists().then_some(()))
}

#[test]
fn a_lock_on_the_directory_of_the_socket_does_not_keep_a_server_from_starting() -> Result<()> {
    let directory = Temporary::new("uds-lock")?;
    let socket = directory.path().join("app.sock");
    let held = Flock::lock(File::open(directory.path())?, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)?;
    let hello = hello(1).option("--uds", socket.display()).start()?;
    assert_eq!(http::get(hello.address()?, "/")?.status, 200);
    drop(held);
    Ok(())
}
