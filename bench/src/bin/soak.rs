//! Soak test: kills, reloads, scales and recycles workers at random under load, and accounts for every request.
//!
//!     cargo run --release -p bench --bin soak [-- --seconds N --seed N]
//!
//! At the end, the answers that clients got must match the counts of a scrape: an answered request is counted, and a
//! request that `kill -9` interrupted is counted at most once. No sum may fall during the test. Only `kill -9` may lose
//! requests, and only those of the killed process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bench::{Random, program};
use clap::{Parser, ValueEnum};
use e2e::{Load, Program, Running, SOON, Signal, http, load::Report, load::Traffic, poll, process};

/// Replaces workers at random under load, and accounts for every request.
#[derive(Parser)]
struct Options {
    /// Duration of the test in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed, to repeat the events of an earlier run [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Initial number of workers; during the test it varies from 1 to twice as many.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    workers: u64,
    /// Number of clients; half of them open a new connection for each request.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(2..=512))]
    clients: u64,
    /// Events to inject, separated by commas [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    events: Vec<Event>,
    /// Replace a worker after this many requests, plus a jitter of up to the same number; 0 for never.
    #[arg(long, default_value_t = 5_000)]
    max_requests: u64,
    /// An executable to test, instead of building metrics-multi-process-pull.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// An event during the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Event {
    /// `kill -9` of a random worker.
    Kill,
    /// SIGHUP to the master: replaces all workers.
    Hup,
    /// SIGTTIN: adds a worker.
    Ttin,
    /// SIGTTOU: removes a worker.
    Ttou,
    /// SIGSTOP of a random worker, and SIGCONT soon after.
    Pause,
}

const REQUESTS: &str = "num_requests_total";
const OBSERVED: &str = "http_server_request_duration_seconds_count";
const ACTIVE: &str = "http_server_active_requests";
const SPAWNS: &str = "worker_spawns_total{";

fn main() -> Result<()> {
    let mut options = Options::parse();
    if options.events.is_empty() {
        options.events = Event::value_variants().to_vec();
    }
    let seed = options.seed.unwrap_or_else(Random::any_seed);
    println!(
        "seed {seed}: {} s, {} workers, {} clients, {:?}",
        options.seconds, options.workers, options.clients, options.events
    );
    let program = match &options.program {
        Some(path) => Program::found(path).env("PORT", "0"),
        None => program("metrics-multi-process-pull"),
    };
    let running = program
        .env("ERROR_RATE", "0")
        .env("RUST_LOG", "warn,common=info")
        .env("WEB_CONCURRENCY", options.workers.to_string())
        .env("METRICS_PORT", "0")
        .env("MAX_REQUESTS", options.max_requests.to_string())
        .env("MAX_REQUESTS_JITTER", options.max_requests.to_string())
        .start()?;
    let account = soak(&options, seed, &running)?;
    println!("{account}");
    stop(running)
}

fn soak(options: &Options, seed: u64, running: &Running) -> Result<String> {
    let metrics = metrics_addr(running)?;
    let time = Duration::from_secs(options.seconds);
    let load = Load::on(running.addr()?)
        .clients(usize::try_from(options.clients / 2)?)
        .at_most(time + SOON);
    let traffics = [
        load.clone().start()?,
        load.clone().keep_alive(false).start()?,
    ];
    let done = AtomicBool::new(false);
    let (events, scrapes) = thread::scope(|scope| -> Result<_> {
        let watch = scope.spawn(|| watch(metrics, &traffics, &done));
        let events = Events::new(options, seed, running).happen(time);
        done.store(true, Relaxed);
        let scrapes = watch.join().expect("its panic was printed")?;
        Ok((events?, scrapes))
    })?;
    let [kept, closed] = traffics;
    let reports = [kept.stop()?, closed.stop()?];
    let end = poll("the last requests to end", SOON, || {
        let text = scrape(metrics).ok()?;
        (sum(&text, ACTIVE) == 0.0).then_some(text)
    })?;
    check(&end, &reports, &events)?;
    Ok(format!(
        "{} requests answered, {} interrupted by {} kills, {} counted, {scrapes} scrapes; {}; workers started: {}",
        reports.iter().map(|report| report.answered).sum::<u64>(),
        reports.iter().map(Report::lost).sum::<u64>(),
        events.killed.len(),
        sum(&end, REQUESTS),
        events.log,
        spawns(&end)
    ))
}

/// Compares the answers of the clients with the counts of the service.
fn check(end: &str, reports: &[Report], events: &Events<'_>) -> Result<()> {
    let answered: u64 = reports.iter().map(|report| report.answered).sum();
    let lost: u64 = reports.iter().map(Report::lost).sum();
    for name in [REQUESTS, OBSERVED] {
        let counted = sum(end, name) as u64;
        ensure!(
            (answered..=answered + lost).contains(&counted),
            "{name} is {counted}, but {answered} requests were answered and {lost} interrupted; {}",
            events.log
        );
    }
    for report in reports {
        let statuses: Vec<_> = report.statuses.keys().collect();
        ensure!(statuses == [&200], "not only 200: {report}");
        ensure!(
            report.total() == report.answered + report.lost(),
            "refused: {report}"
        );
        for failure in &report.failures {
            let by_kill = match failure.pid {
                Some(pid) => events.killed.contains(&pid),
                None => !events.killed.is_empty(),
            };
            ensure!(
                by_kill,
                "lost without a kill: {failure:?}\n{}\n{}",
                events.log,
                events.story_of(failure.pid)
            );
        }
    }
    Ok(())
}

/// Injects events and records them.
struct Events<'a> {
    options: &'a Options,
    running: &'a Running,
    random: Random,
    workers: u64,
    killed: BTreeSet<u32>,
    log: String,
    /// Paused workers, and for how long each was paused.
    pauses: Vec<(u32, Duration)>,
    counts: [usize; 5],
}

impl<'a> Events<'a> {
    fn new(options: &'a Options, seed: u64, running: &'a Running) -> Self {
        Self {
            options,
            running,
            random: Random::new(seed),
            workers: options.workers,
            killed: BTreeSet::new(),
            log: String::new(),
            pauses: Vec::new(),
            counts: [0; 5],
        }
    }

    fn happen(mut self, time: Duration) -> Result<Self> {
        let began = Instant::now();
        while began.elapsed() < time {
            thread::sleep(Duration::from_millis(20 + self.random.below(380) as u64));
            let event = *self.random.one_of(&self.options.events);
            self.one(event).with_context(|| {
                format!(
                    "{event:?} after {:?}: {}",
                    began.elapsed(),
                    self.running.console()
                )
            })?;
        }
        poll("as many workers as there should be", SOON, || {
            (self.running.workers().len() as u64 >= self.workers).then_some(())
        })
        .with_context(|| self.running.console().to_string())?;
        let names = Event::value_variants().iter().zip(self.counts);
        let log: Vec<String> = names
            .map(|(event, count)| format!("{event:?} {count}"))
            .collect();
        self.log = log.join(", ");
        Ok(self)
    }

    fn one(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Kill => {
                if let Some(pid) = self.any_worker() {
                    self.killed.insert(pid);
                    // The worker may have been replaced in the meantime.
                    let _ = process::send(pid, Signal::SIGKILL);
                }
            }
            Event::Hup => self.running.signal(Signal::SIGHUP)?,
            Event::Ttin if self.workers < 2 * self.options.workers => {
                self.workers += 1;
                self.running.signal(Signal::SIGTTIN)?;
            }
            Event::Ttou if self.workers > 1 => {
                self.workers -= 1;
                self.running.signal(Signal::SIGTTOU)?;
            }
            Event::Ttin | Event::Ttou => return Ok(()),
            Event::Pause => {
                if let Some(pid) = self.any_worker() {
                    let pause = Duration::from_millis(self.random.below(500) as u64);
                    self.pauses.push((pid, pause));
                    let _ = process::send(pid, Signal::SIGSTOP);
                    thread::sleep(pause);
                    let _ = process::send(pid, Signal::SIGCONT);
                }
            }
        }
        self.counts[event as usize] += 1;
        ensure!(
            process::is_alive(self.running.pid()),
            "the master has exited"
        );
        Ok(())
    }

    /// Everything recorded about a worker.
    fn story_of(&self, pid: Option<u32>) -> String {
        let Some(pid) = pid else {
            return "of which worker is not known".to_owned();
        };
        let pauses = self.pauses.iter().filter(|(paused, _)| *paused == pid);
        let pauses = pauses.map(|(_, pause)| format!("paused for {pause:?}"));
        let console = self.running.console().to_string();
        let pid = format!("(pid {pid})");
        let lines = console.lines().filter(|line| line.contains(&pid));
        let lines = lines.map(str::to_owned);
        pauses.chain(lines).collect::<Vec<_>>().join("\n")
    }

    fn any_worker(&mut self) -> Option<u32> {
        let mut workers = self.running.workers();
        workers.sort_unstable();
        let choice = (!workers.is_empty()).then(|| self.random.below(workers.len()))?;
        workers.get(choice).copied()
    }
}

/// Scrapes repeatedly. Returns the number of scrapes.
fn watch(addr: SocketAddr, traffics: &[Traffic], done: &AtomicBool) -> Result<u64> {
    let (mut scrapes, mut before) = (0, [0.0; 2]);
    while !done.load(Relaxed) {
        let acknowledged: u64 = traffics.iter().map(Traffic::answered).sum();
        let text = scrape(addr)?;
        let now = [sum(&text, REQUESTS), sum(&text, OBSERVED)];
        for (name, (before, now)) in [REQUESTS, OBSERVED].iter().zip(before.iter().zip(now)) {
            ensure!(now >= *before, "{name} went from {before} to {now}");
        }
        ensure!(
            now[0] >= acknowledged as f64,
            "{acknowledged} answered, {} counted",
            now[0]
        );
        before = now;
        scrapes += 1;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(scrapes)
}

fn scrape(addr: SocketAddr) -> Result<String> {
    let response = http::get(addr, "/metrics")?;
    ensure!(response.status == 200, "{response:?}");
    Ok(response.body)
}

/// The sum over all series of a metric, 0 if there are none.
fn sum(text: &str, metric: &str) -> f64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let is_it = rest.starts_with(['{', ' ']);
        is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.sum()
}

/// The number of started workers by reason, as counted by the master.
fn spawns(text: &str) -> String {
    let mut by_reason = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with(SPAWNS)) {
        let reason = line
            .split_once("reason=\"")
            .and_then(|(_, rest)| rest.split('"').next());
        let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
        *by_reason.entry(reason.unwrap_or_default()).or_insert(0.0) += count.unwrap_or(0.0);
    }
    let each = by_reason.iter().filter(|(_, count)| **count > 0.0);
    let each: Vec<_> = each
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    each.join(", ")
}

fn metrics_addr(running: &Running) -> Result<SocketAddr> {
    let url = running.ready()?.parts.get("metrics");
    let addr = url.and_then(|url| {
        let addr = url.strip_prefix("http://")?.strip_suffix("/metrics")?;
        addr.parse().ok()
    });
    addr.with_context(|| format!("no address for metrics in the ready line: {url:?}"))
}

fn stop(mut running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    ensure!(status.success(), "{status}: {}", running.console());
    running.wait_gone(SOON)
}
