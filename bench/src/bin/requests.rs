//! What a scenario costs per request, against bare actix-web in the same run.
//!
//! All programs are started once, each with one worker of one thread, and then take turns: what else the machine does
//! meets all of them alike, and each figure is compared with the bare one of the same round. CPU time is that of the
//! process that serves, with everything that it does beside serving, such as exporting.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use bench::{Spread, Table};
use clap::Parser;
use e2e::{Load, Program, Running, process};
use serde_json::{Value, json};

/// Requests before the first round, so that no round pays for what is done once.
const WARM_UP: u64 = 20_000;

/// The samplers that traces are measured with, and their arguments.
const SAMPLERS: [(&str, &str); 3] = [
    ("always_on", ""),
    ("parentbased_traceidratio", "0.1"),
    ("always_off", ""),
];

/// Measures CPU time per request and requests per second of the scenarios.
#[derive(Parser)]
struct Options {
    /// Scenarios to measure [default: all that there are].
    scenarios: Vec<String>,
    /// How often each program has its turn.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests of each turn: so many that clock ticks of 10 ms do not matter.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// Clients that send their next request when the last one was answered.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// A new connection for each request.
    #[arg(long)]
    close: bool,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut subjects = vec![Subject::start(0, "bare", &Program::bin("bench", "bare"))?];
    for name in scenarios(&options.scenarios)? {
        if name == "metrics-single-process-pull" {
            let middleware = Program::bin("bench", "actix_web_prom");
            let place = subjects.len();
            subjects.push(Subject::start(place, "actix-web-prom alone", &middleware)?);
        }
        if name == "traces" {
            // The sampler decides what it costs.
            for (sampler, argument) in SAMPLERS {
                let place = subjects.len();
                let program = scenario(&name)
                    .env("OTEL_TRACES_SAMPLER", sampler)
                    .env("OTEL_TRACES_SAMPLER_ARG", argument);
                let name = format!("{name}, {sampler} {argument}");
                subjects.push(Subject::start(place, name.trim_end(), &program)?);
            }
            continue;
        }
        let place = subjects.len();
        subjects.push(Subject::start(place, &name, &scenario(&name))?);
    }
    for subject in &subjects {
        subject.measure(&options, WARM_UP)?;
    }
    for round in 1..=options.rounds {
        eprint!("\rround {round} of {}", options.rounds);
        for subject in &mut subjects {
            let turn = subject.measure(&options, options.requests)?;
            subject.turns.push(turn);
        }
        // There and back, so that none always comes first.
        subjects.reverse();
    }
    eprintln!();
    subjects.sort_by_key(|subject| subject.place);
    print(&options, &subjects);
    if let Some(path) = &options.json {
        let figures = serde_json::to_string_pretty(&report(&options, &subjects))?;
        fs::write(path, figures + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The scenarios that were asked for, or else all whose directories there are.
fn scenarios(asked: &[String]) -> Result<Vec<String>> {
    const ALL: [&str; 5] = [
        "logs",
        "metrics-push",
        "metrics-single-process-pull",
        "metrics-multi-process-pull",
        "traces",
    ];
    for name in asked {
        ensure!(
            ALL.contains(&name.as_str()),
            "`{name}` is no scenario; there are {}",
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

fn scenario(name: &str) -> Program {
    Program::new(name)
        .env("WEB_CONCURRENCY", "1")
        .env("WORKER_THREADS", "1")
        .env("ERROR_RATE", "0")
        .env("RUST_LOG", "warn")
}

/// A program under measurement.
struct Subject {
    /// Where it stands in the report.
    place: usize,
    name: String,
    running: Running,
    /// The process that serves.
    pid: u32,
    turns: Vec<Turn>,
}

/// One program's part of a round.
struct Turn {
    /// CPU time of a request in microseconds.
    cpu: f64,
    /// Requests per second.
    rate: f64,
}

impl Subject {
    fn start(place: usize, name: &str, program: &Program) -> Result<Self> {
        eprintln!("building and starting {name}");
        let running = program.clone().profile("release").start()?;
        let serving = running.ready()?.serving();
        let [pid] = serving[..] else {
            anyhow::bail!("{name} serves from {serving:?} and should do so from one process");
        };
        Ok(Self {
            place,
            name: name.to_owned(),
            running,
            pid,
            turns: Vec::new(),
        })
    }

    fn measure(&self, options: &Options, requests: u64) -> Result<Turn> {
        let before = process::cpu_time(self.pid)?;
        let report = Load::on(self.running.addr()?)
            .clients(options.clients)
            .keep_alive(!options.close)
            .requests(requests)
            .run()?;
        let answered = report.statuses.get(&200).copied().unwrap_or_default();
        ensure!(answered == requests, "{}: {report}", self.name);
        let cpu = process::cpu_time(self.pid)? - before;
        Ok(Turn {
            cpu: cpu.as_secs_f64() * 1e6 / requests as f64,
            rate: report.rate(),
        })
    }

    fn spread(&self, figure: fn(&Turn) -> f64) -> Spread {
        self.turns.iter().map(figure).collect()
    }

    /// This program's figure by that of another one, round by round.
    fn ratio(&self, to: &Self, figure: fn(&Turn) -> f64) -> Spread {
        let pairs = self.turns.iter().zip(&to.turns);
        pairs
            .map(|(this, that)| figure(this) / figure(that))
            .collect()
    }
}

fn cpu(turn: &Turn) -> f64 {
    turn.cpu
}

fn rate(turn: &Turn) -> f64 {
    turn.rate
}

fn print(options: &Options, subjects: &[Subject]) {
    let connections = if options.close {
        "closing"
    } else {
        "keep-alive"
    };
    println!(
        "{} rounds of {} requests from {} {connections} clients; release build, one worker of one thread.\n\
         Median [min .. max]; a ratio is that to bare actix-web in the same round.\n",
        options.rounds, options.requests, options.clients
    );
    let mut table = Table::new(&["", "CPU per request", "ratio", "requests/s", "ratio"]);
    let bare = &subjects[0];
    for subject in subjects {
        table.row(&[
            subject.name.clone(),
            format!("{:.2} us", subject.spread(cpu)),
            format!("{:.2}", subject.ratio(bare, cpu)),
            format!("{:.0}", subject.spread(rate)),
            format!("{:.2}", subject.ratio(bare, rate)),
        ]);
    }
    print!("{table}");
}

fn report(options: &Options, subjects: &[Subject]) -> Value {
    let bare = &subjects[0];
    let figures = |subject: &Subject| {
        json!({
            "name": subject.name,
            "cpu_microseconds_per_request": subject.spread(cpu).to_json(),
            "cpu_ratio": subject.ratio(bare, cpu).to_json(),
            "requests_per_second": subject.spread(rate).to_json(),
            "requests_per_second_ratio": subject.ratio(bare, rate).to_json(),
        })
    };
    json!({
        "rounds": options.rounds,
        "requests": options.requests,
        "clients": options.clients,
        "keep_alive": !options.close,
        "programs": subjects.iter().map(figures).collect::<Vec<_>>(),
    })
}
