//! Measures the cost of a scenario per request, compared with bare actix-web and with its Flask + gunicorn counterpart
//! in the same run.
//!
//!     cargo run --release -p bench --bin requests [-- SCENARIO... --rounds N]
//!
//! All programs are started once, each with one worker process, and then take turns. So other load on the machine
//! affects all of them, and figures are compared within the same round. CPU time is that of the serving process,
//! including background work such as exports.

mod subject;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bench::{Goal, Row, Section, python, section};
use clap::{Parser, ValueEnum};
use collector::{Collector, Config};

use self::subject::{HARNESS_ALONE, Subject, THE_USUAL_CRATES, TRACES, Turn};

/// Measures CPU time per request and requests per second of the scenarios.
#[derive(Parser)]
struct Options {
    /// Scenarios to measure [default: all].
    scenarios: Vec<String>,
    /// Number of rounds; each program has one turn per round.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests per turn on keep-alive connections. A fifth of them with a new connection each, and a fortieth for
    /// Flask, which needs more CPU time.
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(200..))]
    requests: u64,
    /// Number of clients; each sends its next request when the last one was answered.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How requests use connections [default: measure both].
    #[arg(long, value_enum)]
    connections: Option<Connections>,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Connections {
    /// Each client sends its requests on one connection.
    KeepAlive,
    /// Each request uses a new connection.
    Close,
}

/// Bare actix-web has a turn before every so many turns of other programs.
const BARE_EVERY: usize = 4;

const ALL: [&str; 6] = [
    "all-signals",
    "logs",
    "metrics-push",
    "metrics-single-process-pull",
    "metrics-multi-process-pull",
    "traces",
];

fn main() -> Result<()> {
    let options = Options::parse();
    let receiver = Collector::start(Config {
        keep_records: 0,
        ..Config::silent()
    })?;
    let mut subjects = start(&scenarios(&options.scenarios)?, &receiver)?;
    let connections = match options.connections {
        Some(one) => vec![one],
        None => vec![Connections::KeepAlive, Connections::Close],
    };
    let mut sections = Vec::new();
    for connections in connections {
        take_turns(&options, connections, &mut subjects)?;
        let section = report(&options, connections, &subjects);
        println!("{section}");
        sections.push(section);
    }
    match &options.json {
        Some(path) => section::write(path, &sections),
        None => Ok(()),
    }
}

/// The selected scenarios, or else all that have a directory.
fn scenarios(asked: &[String]) -> Result<Vec<String>> {
    for name in asked {
        ensure!(
            ALL.contains(&name.as_str()),
            "unknown scenario {name:?}, expected one of: {}",
            ALL.join(", ")
        );
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let there = |name: &&str| workspace.join(name).join("Cargo.toml").is_file();
    let all = ALL.into_iter().filter(there).map(str::to_owned);
    Ok(if asked.is_empty() {
        all.collect()
    } else {
        asked.to_vec()
    })
}

fn start(scenarios: &[String], receiver: &Collector) -> Result<Vec<Subject>> {
    let python = python::with_modules(&[
        "flask",
        "gunicorn",
        "prometheus_client",
        "opentelemetry.sdk",
        "opentelemetry.exporter.otlp.proto.http",
    ]);
    let receiver = receiver.http_addr();
    let mut subjects = vec![Subject::bare()?, Subject::harness_alone()?];
    let peers = ["all-signals", "traces"];
    if scenarios.iter().any(|name| peers.contains(&name.as_str())) {
        subjects.extend(Subject::rust_peers(receiver)?);
    }
    if scenarios
        .iter()
        .any(|name| name == "metrics-single-process-pull")
    {
        subjects.push(Subject::middleware_alone()?);
    }
    for name in scenarios {
        if name == "traces" {
            subjects.extend(Subject::traces(receiver)?);
        } else {
            subjects.push(Subject::scenario(name, receiver)?);
        }
        // The Flask application has no scenario with all signals.
        if let (Some(python), true) = (&python, name != "all-signals") {
            subjects.push(Subject::flask(python, name, receiver)?);
        }
    }
    Ok(subjects)
}

fn take_turns(options: &Options, connections: Connections, subjects: &mut [Subject]) -> Result<()> {
    let keep_alive = connections == Connections::KeepAlive;
    let requests = if keep_alive {
        options.requests
    } else {
        options.requests / 5
    };
    for subject in &mut *subjects {
        // Warm up, so that no round includes one-time work.
        subject.measure(options.clients, keep_alive, requests / 5)?;
        subject.turns.clear();
    }
    let (bare, others) = subjects
        .split_first_mut()
        .context("there is nothing to measure")?;
    for round in 0..options.rounds {
        eprint!("\rround {} of {}", round + 1, options.rounds);
        let mut order: Vec<&mut Subject> = others.iter_mut().collect();
        // Reverse the order every other round, so that no program is always first.
        if round % 2 == 1 {
            order.reverse();
        }
        let mut of_bare = Vec::new();
        for (index, subject) in order.into_iter().enumerate() {
            // Every ratio depends on it, and a single turn may take a third less CPU time than
            // the next.
            if index % BARE_EVERY == 0 {
                of_bare.push(bare.measure(options.clients, keep_alive, requests)?);
            }
            let turn = subject.measure(options.clients, keep_alive, requests)?;
            subject.turns.push(turn);
        }
        bare.turns.push(Turn::mean(&of_bare));
    }
    eprintln!();
    Ok(())
}

fn report(options: &Options, connections: Connections, subjects: &[Subject]) -> Section {
    let name = match connections {
        Connections::KeepAlive => "keep-alive",
        Connections::Close => "close",
    };
    let method = format!(
        "{} rounds, {} clients; one worker process of one thread (gunicorn: gthread with four), ERROR_RATE=0, \
         RUST_LOG=warn. Queues hold a whole turn, so that everything is exported, and the CPU time of a turn is taken \
         when that is done. Bare actix-web has several turns in a round, and counts with their mean.",
        options.rounds, options.clients
    );
    let command = format!("cargo run --release -p bench --bin requests -- --connections {name}");
    let mut section = Section::new(&format!("Requests, {name}"), &method, &command);
    let bare = &subjects[0];
    for subject in &subjects[1..] {
        let Some((peer, scenario)) = &subject.counterpart else {
            let mut rows = rows(subject, bare, "bare actix-web");
            if connections == Connections::KeepAlive {
                rows[0].goal = goal(&subject.name);
            }
            section.rows.extend(rows);
            continue;
        };
        let of_scenario = |other: &&Subject| other.name == *scenario;
        let Some(ours) = subjects.iter().find(of_scenario) else {
            continue;
        };
        let mut rows = rows(ours, subject, peer);
        if *peer == THE_USUAL_CRATES {
            rows[0].goal = Some(Goal::RatioAtMost(1.0));
        }
        section.rows.extend(rows);
    }
    section
}

fn rows(ours: &Subject, peer: &Subject, peer_name: &str) -> [Row; 2] {
    let figures = |subject: &Subject, figure: fn(&Turn) -> f64| -> Vec<f64> {
        subject.turns.iter().map(figure).collect()
    };
    let row = |what: &str, unit: &str, figure: fn(&Turn) -> f64| {
        Row::against(
            format!("{}, {what}", ours.name),
            unit,
            &figures(ours, figure),
            peer_name,
            &figures(peer, figure),
        )
    };
    [
        row("CPU per request", "us", |turn| turn.cpu),
        row("requests per second", "/s", |turn| turn.rate).higher_is_better(),
    ]
}

/// The goal for the ratio of a scenario's CPU time to that of bare actix-web.
fn goal(scenario: &str) -> Option<Goal> {
    match scenario {
        HARNESS_ALONE => Some(Goal::RatioAtMost(1.02)),
        "metrics-push" => Some(Goal::RatioAtMost(1.06)),
        "metrics-multi-process-pull" | "traces, always_off" => Some(Goal::RatioAtMost(1.05)),
        "logs" => Some(Goal::RatioAtMost(1.40)),
        TRACES => Some(Goal::RatioAtMost(1.30)),
        "traces, parentbased_traceidratio 0.1" => Some(Goal::RatioAtMost(1.10)),
        "all-signals" => Some(Goal::RatioAtMost(1.9)),
        _ => None,
    }
}
