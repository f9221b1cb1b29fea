//! The worker harness beside gunicorn, in the same run and under the same client.
//!
//!     cargo run --release -p bench --bin harness [-- --quick] [--json FILE]
//!
//! Ours is the example program `hello` of `common`, gunicorn's is `bench/peers/hello.py` (Flask); both have four workers.
//! gunicorn is looked for on PATH and left out if it is not there; `e2e/requirements.txt` has it. Both take turns. What is
//! compared is what happens when something happens: how fast Python is does not matter here.

mod change;
mod fault;
mod outcome;
mod server;
mod steady;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use e2e::real_part::real_part;
use serde_json::json;

use crate::{change::Change, fault::Hang, outcome::Comparison, server::Kind};

/// Measures reload, scaling, recycling, stop, crashes and hangs beside gunicorn.
#[derive(Parser)]
struct Options {
    /// How often each of both has its turn.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// One short round, to see that everything works; its figures mean little.
    #[arg(long)]
    quick: bool,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rounds = if options.quick { 1 } else { options.rounds };
    let kinds = kinds()?;
    let mut parts = Vec::new();
    let mut measure = |title: &str, part: &dyn Fn(Kind) -> Result<outcome::Figures>| {
        eprint!("{title}: ");
        let comparison = Comparison::run(title, &kinds, rounds, part)?;
        eprintln!();
        println!("{comparison}");
        parts.push(comparison);
        anyhow::Ok(())
    };
    for change in Change::ALL {
        for keep_alive in [true, false] {
            let title = format!("{change}, 64 {} clients", connections(keep_alive));
            measure(&title, &|kind| change::measure(kind, change, keep_alive))?;
        }
    }
    for keep_alive in [true, false] {
        let title = format!(
            "kill -9 of a worker, 64 {} clients",
            connections(keep_alive)
        );
        measure(&title, &|kind| fault::kill_worker(kind, keep_alive))?;
    }
    measure(
        "kill -9 of the master, 64 keep-alive clients",
        &fault::kill_master,
    )?;
    for hang in [Hang::Stopped, Hang::Blocked] {
        let title = format!("{hang}, one worker of four");
        measure(&title, &|kind| fault::hang(kind, hang))?;
    }
    measure("a worker that crashes at every boot", &|kind| {
        fault::crash_loop(kind, options.quick)
    })?;
    for keep_alive in [true, false] {
        let title = format!("balance, 64 {} clients", connections(keep_alive));
        measure(&title, &|kind| steady::balance(kind, keep_alive))?;
    }
    measure("memory", &steady::memory)?;
    if let Some(path) = &options.json {
        let parts: Vec<_> = parts.iter().map(Comparison::to_json).collect();
        let text = serde_json::to_string_pretty(&json!({ "rounds": rounds, "parts": parts }))?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn kinds() -> Result<Vec<Kind>> {
    let gunicorn = real_part("gunicorn", "pip install -r e2e/requirements.txt")?;
    Ok([Kind::Ours]
        .into_iter()
        .chain(gunicorn.map(|_| Kind::Gunicorn))
        .collect())
}

fn connections(keep_alive: bool) -> &'static str {
    if keep_alive { "keep-alive" } else { "closing" }
}
