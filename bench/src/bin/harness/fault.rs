//! Faults: killed, stopped, blocked and crashing workers, and a killed master.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bench::Goal;
use e2e::{
    Load, SOON, Signal, Temporary, http::Connection, load::Kind as Failure, load::Traffic, poll,
    process, sockets,
};

use crate::{
    outcome::{Figure, Figures, REUSED},
    server::{Kind, PATIENCE, Setup, WARM_UP},
};

/// Kills a worker under load. Measures when its replacement exists and when it answers.
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
        Figure::time("new process after", spawned),
        Figure::time("first answer after", answered).goal(Goal::AtMost(20.0)),
        // No supervisor can save the requests that a killed process had accepted.
        Figure::count("lost", report.lost()),
        Figure::count(REUSED, report.count(Failure::Reused)),
    ])
}

/// Polls without a pause, to measure milliseconds.
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

/// Kills the master under load. Counts the processes that remain half a second later.
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
        Figure::count("orphans after 500 ms", orphans as u64).goal(Goal::AtMost(0.0)),
        Figure::time("all processes gone after", gone),
    ])
}

/// Clients of a server with a stopped worker. With more of them, the latencies would show how long they wait for the CPU.
const FEW: usize = 16;

/// One of four workers is stopped. Measures what that costs requests that the worker had not accepted.
pub(crate) fn stopped_worker(kind: Kind) -> Result<Figures> {
    let server = Setup::new(false).start(kind)?;
    let traffic = server.load_of(FEW, false)?;
    let second = Duration::from_secs(1);
    let usual = rate(&traffic, second);
    let victim = *server.workers().first().context("there is no worker")?;
    process::send(victim, Signal::SIGSTOP)?;
    poll("the worker to stop", SOON, || {
        process::is_stopped(victim).then_some(())
    })?;
    let accepted = sockets::accepted_by(victim, server.address.port())?;
    let first = rate(&traffic, second) / usual;
    thread::sleep(2 * second);
    let report = traffic.stop()?;
    // The worker is still stopped, so it has answered none of the requests that it had accepted.
    let mut others = report.failures.iter();
    let lost = others.any(|failure| !accepted.contains(&failure.port));
    let longest = (!lost).then(|| report.max());
    Ok(vec![
        Figure::time("longest request that it had not accepted", longest).goal(Goal::AtMost(300.0)),
        Figure::new("throughput in the first second", "ratio to before", first)
            .higher_is_better()
            .goal(Goal::AtLeast(0.6)),
        Figure::count("lost requests", report.lost()),
    ])
}

/// How long a handler blocks: longer than the observation.
const BLOCKED: Duration = Duration::from_secs(20);

/// Duration of the observation.
const OBSERVED: Duration = Duration::from_secs(6);

/// Length of an observation interval.
const WINDOW: Duration = Duration::from_millis(100);

/// How many consecutive intervals must be good, since other processes may use the CPU briefly.
const GOOD: usize = 5;

/// A handler blocks one of four workers. Measures how long users wait, and when the throughput has recovered.
pub(crate) fn blocking_handler(kind: Kind) -> Result<Figures> {
    let server = Setup::new(false).start(kind)?;
    let traffic = server.load(false)?;
    let users = Load::on(server.address)
        .every(Duration::from_millis(5))
        .patience(PATIENCE)
        .start()?;
    let usual = rate(&traffic, Duration::from_secs(1));
    let mut blocked = Connection::open(server.address)?;
    blocked.send_get(&format!("/block?ms={}", BLOCKED.as_millis()))?;
    let began = Instant::now();
    let mut windows = Vec::new();
    while began.elapsed() < OBSERVED {
        windows.push(rate(&traffic, WINDOW) / usual);
    }
    // Recovery is immediate here; differences are noise.
    let is_back = |windows: &[f64]| windows.iter().all(|ratio| *ratio >= 0.5);
    let back = windows.windows(GOOD).position(is_back);
    let back = back.map(|before| WINDOW * before as u32);
    let lowest = windows.iter().copied().fold(f64::INFINITY, f64::min);
    let (users, report) = (users.stop()?, traffic.stop()?);
    Ok(vec![
        Figure::time("throughput back to half after", back).goal(Goal::AtMost(2000.0)),
        Figure::new("lowest throughput", "ratio to before", lowest).higher_is_better(),
        Figure::time("users' p99", users.quantile(0.99)),
        Figure::time("users' longest answer", users.max()),
        Figure::count("users without an answer within 8 s", users.lost()).goal(Goal::AtMost(0.0)),
        Figure::count("lost requests of busy clients", report.lost()),
    ])
}

/// Answers per second over an interval.
fn rate(traffic: &Traffic, time: Duration) -> f64 {
    let (before, began) = (traffic.answered(), Instant::now());
    thread::sleep(time);
    (traffic.answered() - before) as f64 / began.elapsed().as_secs_f64()
}

/// Every new worker exits at boot. Measures the number of attempts, and whether the other worker keeps serving.
pub(crate) fn crash_loop(kind: Kind, quick: bool) -> Result<Figures> {
    let directory = Temporary::new("crash-loop")?;
    let switch = directory.path().join("crash");
    let mut setup = Setup::new(false);
    setup.crash_switch = Some(&switch);
    let server = setup.start(kind)?;
    let victim = *server.workers().first().context("there is no worker")?;
    fs::write(&switch, "")?;
    process::send(victim, Signal::SIGKILL)?;
    let (seconds, boots) = match quick {
        true => (2, "boots in 2 s"),
        false => (10, "boots in 10 s"),
    };
    thread::sleep(Duration::from_secs(seconds));
    let crashes = server
        .running
        .console()
        .count(|line| line.contains("worker crashes"));
    let others = server.workers().len().min(3);
    Ok(vec![
        Figure::count(boots, crashes as u64),
        Figure::count("other workers still running", others as u64).goal(Goal::AtLeast(3.0)),
    ])
}
