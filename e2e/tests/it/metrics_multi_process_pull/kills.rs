//! Workers are killed at any time: the sum never falls, and every answered request is counted.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    Load, Running, SOON, Signal,
    http::{self, Connection},
    load::Traffic,
    poll, process,
};

use super::{ACTIVE, REQUESTS, Scrape, directory, metrics_addr, names, pull};
use crate::support::stop;

const ROUNDS: u64 = 200;
const WORKERS: usize = 8;

#[test]
fn the_sum_at_any_worker_survives_200_kills() -> Result<()> {
    survive_kills(false)
}

#[test]
fn the_sum_at_the_master_survives_200_kills() -> Result<()> {
    survive_kills(true)
}

fn survive_kills(metrics_port: bool) -> Result<()> {
    let mut program = pull()
        .option("--workers", WORKERS)
        // A machine that is too busy to run a worker for a moment makes it seem to hang, and one that takes over from
        // it needs files of its own for as long as both are there.
        .option("--hang-timeout", 60)
        .env("RUST_LOG", "off");
    if metrics_port {
        program = program.env("METRICS_PORT", "0");
    }
    let running = program.start()?;
    let files = names(&directory(&running)?)?;
    let scraped = match metrics_port {
        true => metrics_addr(&running)?,
        false => running.addr()?,
    };
    let load = Load::on(running.addr()?).clients(4).at_most(SOON * 10);
    let traffics = [
        load.clone().start()?,
        load.clone().keep_alive(false).start()?,
    ];
    // A worker that is killed may take the answer to a scrape with it, the master may not.
    let may_fail = !metrics_port;
    let (mut own, done) = (0, AtomicBool::new(false));
    thread::scope(|scope| -> Result<()> {
        let watch = scope.spawn(|| watch(scraped, &traffics, may_fail, &done));
        let killed = kill_workers(&running, &traffics, &mut own);
        done.store(true, Relaxed);
        let scrapes = watch.join().expect("its panic is the test's")?;
        killed?;
        ensure!(scrapes >= ROUNDS, "only {scrapes} scrapes");
        Ok(())
    })?;

    let (mut acknowledged, mut lost) = (own, 0);
    for traffic in traffics {
        let report = traffic.stop()?;
        assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&200]);
        acknowledged += report.answered;
        lost += report.lost();
    }
    let end = poll("the last requests to end", SOON, || {
        let scrape = Scrape::of(scraped).ok()?;
        (scrape.sum(ACTIVE) == 0.0).then_some(scrape)
    })?;
    let sum = end.sum(REQUESTS) as u64;
    // A request without an answer was in flight at a kill: counted or not, at most once.
    assert!(
        (acknowledged..=acknowledged + lost).contains(&sum),
        "{sum} counted, {acknowledged} acknowledged, {lost} in flight at kills"
    );
    let killed = end.sum_with("worker_exits_total", "kind=\"signal\"");
    assert_eq!(killed, ROUNDS as f64, "{}", end.text);
    assert_files_are_bounded(&running, &files)?;
    stop(running)
}

/// Kills workers one after the other at random times, and counts the answers to its own requests.
fn kill_workers(running: &Running, traffics: &[Traffic], answered: &mut u64) -> Result<()> {
    let mut random = Random(0x5eed);
    for round in 0..ROUNDS {
        // Where the kernel sends a connection is random, and it is a worker that serves.
        let victim = poll("an answer of a worker", SOON, || {
            http::get(running.addr().ok()?, "/").ok()?.pid()
        })?;
        *answered += 1;
        let moment = random.below(50);
        let traffic = &traffics[random.below(2) as usize];
        traffic
            .wait_for_answers(moment, SOON)
            .with_context(|| format!("round {round}"))?;
        process::send(victim, Signal::SIGKILL)?;
    }
    poll("all workers", SOON, || {
        let mut connection = Connection::open(running.addr().ok()?).ok()?;
        connection.send_get("/healthz").ok()?;
        connection.receive().ok()?;
        (running.workers().len() == WORKERS).then_some(())
    })
}

/// Scrapes repeatedly and checks each scrape. Returns the number of scrapes.
fn watch(addr: SocketAddr, traffics: &[Traffic], may_fail: bool, done: &AtomicBool) -> Result<u64> {
    let (mut scrapes, mut requests, mut observed) = (0, 0.0, 0.0);
    while !done.load(Relaxed) {
        let acknowledged: u64 = traffics.iter().map(Traffic::answered).sum();
        let scrape = match Scrape::of(addr) {
            Err(_) if may_fail => continue,
            scrape => scrape?,
        };
        let (requests_before, observed_before) = (requests, observed);
        (requests, observed) = (scrape.sum(REQUESTS), scrape.observed());
        let text = &scrape.text;
        ensure!(
            requests >= requests_before,
            "{requests_before}, then {text}"
        );
        ensure!(
            observed >= observed_before,
            "{observed_before}, then {text}"
        );
        ensure!(
            requests >= acknowledged as f64,
            "{acknowledged}, then {text}"
        );
        scrapes += 1;
    }
    Ok(scrapes)
}

/// Asserts that the directory has no files that it did not have before the first kill.
fn assert_files_are_bounded(running: &Running, before: &[String]) -> Result<()> {
    let before = BTreeSet::from_iter(before);
    let now = names(&directory(running)?)?;
    let more: Vec<_> = now.iter().filter(|name| !before.contains(name)).collect();
    ensure!(more.is_empty(), "{more:?} came to {before:?}");
    Ok(())
}

/// Random numbers with a fixed seed (xorshift64, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
