//! Changes by an operator under load: reload, scaling, recycling, stop.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bench::Goal;
use e2e::{SOON, Signal, load::Kind as Failure, load::Report, poll};

use crate::{
    outcome::{Figure, Figures, REUSED},
    server::{Kind, Server, Setup, WARM_UP, WORKERS},
};

/// Requests after which a worker is replaced.
const MAX_REQUESTS: u32 = 2000;

/// A change to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Reload,
    ScaleUp,
    ScaleDown,
    Recycle,
    Stop,
}

impl Change {
    pub(crate) const ALL: [Self; 5] = [
        Self::Reload,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::Recycle,
        Self::Stop,
    ];
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reload => "reload (HUP)",
            Self::ScaleUp => "add a worker (TTIN)",
            Self::ScaleDown => "remove a worker (TTOU)",
            Self::Recycle => "recycling (--max-requests)",
            Self::Stop => "stop (TERM)",
        })
    }
}

/// Makes the change under load, and returns what the clients observed.
pub(crate) fn measure(kind: Kind, change: Change, keep_alive: bool) -> Result<Figures> {
    let mut setup = Setup::new(keep_alive);
    if change == Change::Recycle {
        let limits = ["--max-requests", "--max-requests-jitter"];
        let values = [MAX_REQUESTS, MAX_REQUESTS / 10].map(|value| value.to_string());
        let arguments = limits.iter().zip(values);
        setup.arguments = arguments
            .flat_map(|(flag, value)| [(*flag).to_owned(), value])
            .collect();
    }
    let mut server = setup.start(kind)?;
    let traffic = server.load(keep_alive)?;
    let began = Instant::now();
    make(&mut server, change).with_context(|| server.running.console().to_string())?;
    let took = began.elapsed();
    if change != Change::Stop {
        thread::sleep(WARM_UP);
    }
    Ok(figures(&traffic.stop()?, took))
}

/// Stops a server with one serving thread under load, as actix-web's own server has.
pub(crate) fn stop_of_one(kind: Kind, keep_alive: bool) -> Result<Figures> {
    let mut setup = Setup::new(keep_alive);
    setup.workers = 1;
    let mut server = setup.start(kind)?;
    let traffic = server.load(keep_alive)?;
    let began = Instant::now();
    make(&mut server, Change::Stop).with_context(|| server.running.console().to_string())?;
    let took = began.elapsed();
    let report = traffic.stop()?;
    Ok(vec![
        Figure::count("lost", report.lost()).goal(Goal::AtMost(0.0)),
        Figure::count(REUSED, report.count(Failure::Reused)),
        Figure::time("complete after", took),
    ])
}

/// Makes the change, and waits until it is complete.
fn make(server: &mut Server, change: Change) -> Result<()> {
    let old = server.workers();
    let replaced = |server: &Server| {
        let workers = server.workers();
        workers.len() == WORKERS && workers.is_disjoint(&old)
    };
    let wait = |what: &str, done: &dyn Fn() -> bool| poll(what, 2 * SOON, || done().then_some(()));
    match change {
        Change::Reload => {
            server.signal(Signal::SIGHUP)?;
            wait("every worker to be another one", &|| replaced(server))
        }
        Change::Recycle => {
            // Done when all initial workers are gone.
            wait("every worker to be recycled", &|| {
                server.workers().is_disjoint(&old)
            })
        }
        Change::ScaleUp => {
            server.signal(Signal::SIGTTIN)?;
            wait("one worker more", &|| {
                let new = &server.workers() - &old;
                server
                    .pid_that_answers()
                    .is_some_and(|pid| new.contains(&pid))
            })
        }
        Change::ScaleDown => {
            server.signal(Signal::SIGTTOU)?;
            wait("one worker less", &|| server.workers().len() == WORKERS - 1)
        }
        Change::Stop => {
            server.signal(Signal::SIGTERM)?;
            server.running.wait_exit(2 * SOON)?;
            Ok(())
        }
    }
}

fn figures(report: &Report, took: Duration) -> Figures {
    vec![
        Figure::count("lost", report.lost()).goal(Goal::AtMost(0.0)),
        Figure::count(REUSED, report.count(Failure::Reused)),
        Figure::time("p50", report.quantile(0.5)),
        Figure::time("p99", report.quantile(0.99)),
        Figure::time("p99.9", report.quantile(0.999)).goal(Goal::AtMost(100.0)),
        Figure::time("longest answer", report.max()),
        Figure::time("longest stall (no answers)", report.longest_gap),
        Figure::time("complete after", took),
    ]
}
