//! What goes wrong: workers and masters that are killed, that hang, that crash.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use e2e::{
    Load, SOON, Signal, Temporary, http::Connection, load::Kind as Failure, load::Traffic, poll,
    process,
};

use crate::{
    change::milliseconds,
    outcome::Figures,
    server::{Kind, PATIENCE, Setup, WARM_UP},
};

/// Kills a worker under load: when is there another one, and when does it answer?
pub(crate) fn kill_worker(kind: Kind, keep_alive: bool) -> Result<Figures> {
    let server = Setup::new(keep_alive).start(kind)?;
    let old = server.workers();
    let victim = *old.first().context("there is no worker")?;
    let traffic = server.load(keep_alive)?;
    process::send(victim, Signal::SIGKILL)?;
    let killed = Instant::now();
    let spawned = wait(|| {
        server
            .workers()
            .difference(&old)
            .next()
            .map(|_| killed.elapsed())
    })?;
    let answered = wait(|| {
        let pid = server.pid_that_answers()?;
        (!old.contains(&pid)).then(|| killed.elapsed())
    })?;
    thread::sleep(WARM_UP);
    let report = traffic.stop()?;
    Ok(vec![
        ("new process after, ms", milliseconds(spawned)),
        ("its first answer after, ms", milliseconds(answered)),
        ("lost", report.lost() as f64),
        (
            "  of them on reused connections",
            report.count(Failure::Reused) as f64,
        ),
    ])
}

/// Without a pause: milliseconds are measured.
fn wait<T>(mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        anyhow::ensure!(began.elapsed() < SOON, "waited {SOON:?} for another worker");
        thread::yield_now();
    }
}

/// Kills the master under load: who is still there half a second later?
pub(crate) fn kill_master(kind: Kind) -> Result<Figures> {
    let server = Setup::new(true).start(kind)?;
    let traffic = server.load(true)?;
    server.signal(Signal::SIGKILL)?;
    let killed = Instant::now();
    thread::sleep(Duration::from_millis(500));
    let orphans = server.running.processes().len();
    let gone = poll("all to be gone", 2 * SOON, || {
        server
            .running
            .processes()
            .is_empty()
            .then(|| killed.elapsed())
    })?;
    drop(traffic);
    Ok(vec![
        ("orphans after 500 ms", orphans as f64),
        ("none is left after, ms", milliseconds(gone)),
    ])
}

/// How a worker hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    /// All its threads are stopped.
    Stopped,
    /// A handler blocks the thread that serves.
    Blocked,
}

impl fmt::Display for Hang {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stopped => "stopped process (SIGSTOP)",
            Self::Blocked => "blocking handler",
        })
    }
}

/// How long a handler blocks: longer than anything that is looked at.
const BLOCKED: Duration = Duration::from_secs(20);

/// How long is looked at what a hang does.
const OBSERVED: Duration = Duration::from_secs(6);

/// One worker of four hangs: how long do users wait, and when is the throughput what it was?
pub(crate) fn hang(kind: Kind, hang: Hang) -> Result<Figures> {
    let server = Setup::new(false).start(kind)?;
    let traffic = server.load(false)?;
    let users = Load::on(server.address)
        .every(Duration::from_millis(5))
        .patience(PATIENCE)
        .start()?;
    let usual = rate(&traffic, Duration::from_secs(1));
    let _blocked = match hang {
        Hang::Stopped => {
            let victim = *server.workers().first().context("there is no worker")?;
            process::send(victim, Signal::SIGSTOP)?;
            None
        }
        Hang::Blocked => {
            let mut connection = Connection::open(server.address)?;
            connection.send_get(&format!("/block?ms={}", BLOCKED.as_millis()))?;
            Some(connection)
        }
    };
    let began = Instant::now();
    let mut back = None;
    let mut lowest = f64::INFINITY;
    while began.elapsed() < OBSERVED {
        let at = began.elapsed();
        let now = rate(&traffic, Duration::from_millis(250)) / usual;
        lowest = lowest.min(now);
        if now < 0.7 {
            back = None;
        } else if back.is_none() {
            back = Some(at);
        }
    }
    let (users, report) = (users.stop()?, traffic.stop()?);
    Ok(vec![
        (
            "throughput back to 70 % after, ms",
            back.map_or(f64::INFINITY, milliseconds),
        ),
        ("lowest throughput, ratio to before", lowest),
        ("users' p99, ms", milliseconds(users.quantile(0.99))),
        ("users' longest answer, ms", milliseconds(users.max())),
        ("users who got none within 8 s", users.lost() as f64),
        (
            "requests of busy clients that got none",
            report.lost() as f64,
        ),
    ])
}

/// Answers per second over a time.
fn rate(traffic: &Traffic, time: Duration) -> f64 {
    let (before, began) = (traffic.answered(), Instant::now());
    thread::sleep(time);
    (traffic.answered() - before) as f64 / began.elapsed().as_secs_f64()
}

/// Every worker that boots ends at once: how often is that tried, and does the other one go on?
pub(crate) fn crash_loop(kind: Kind, quick: bool) -> Result<Figures> {
    let directory = Temporary::new("crash-loop")?;
    let switch = directory.path().join("crash");
    let mut setup = Setup::new(false);
    setup.crash_switch = Some(&switch);
    let server = setup.start(kind)?;
    let victim = *server.workers().first().context("there is no worker")?;
    fs::write(&switch, "")?;
    process::send(victim, Signal::SIGKILL)?;
    let seconds = if quick { 2 } else { 10 };
    thread::sleep(Duration::from_secs(seconds));
    let boots = server
        .running
        .console()
        .count(|line| line.contains("worker crashes"));
    Ok(vec![
        (
            if quick {
                "boots in 2 s"
            } else {
                "boots in 10 s"
            },
            boots as f64,
        ),
        (
            "other workers that are there",
            server.workers().len().min(3) as f64,
        ),
    ])
}
