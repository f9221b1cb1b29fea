//! Compares the worker harness with gunicorn and with bare actix-web, in the same run and with the same client.
//!
//!     cargo run --release -p bench --bin harness [-- --quick] [--json FILE]
//!
//! Our program is the example `hello` of `common`, and gunicorn's is `bench/peers/hello.py` (Flask). Both have four
//! workers and take turns. Without gunicorn on PATH its figures are left out; `e2e/requirements.txt` lists it. The
//! benchmark compares behaviour during changes and faults, not the speed of Python.
//!
//! The graceful stop is also compared with that of actix-web's own server (`bench/src/bin/bare.rs`), with one serving
//! thread each.

mod change;
mod fault;
mod outcome;
mod server;
mod steady;

use std::path::PathBuf;

use anyhow::Result;
use bench::{Section, section};
use clap::Parser;
use e2e::real_part::real_part;

use crate::{change::Change, outcome::Comparison, server::Kind};

/// Compares reload, scaling, recycling, stop, crashes and hangs with gunicorn, and the stop with bare actix-web.
#[derive(Parser)]
struct Options {
    /// Number of rounds; each server has one turn per round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Run one short round, to check that everything works.
    #[arg(long)]
    quick: bool,
    /// Run only parts with this text in their title, such as `HUP` or `SIGSTOP`.
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true
    )]
    only: String,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rounds = if options.quick { 1 } else { options.rounds };
    let gunicorn = real_part("gunicorn", "pip install -r e2e/requirements.txt")?;
    let peer = gunicorn.map(|_| Kind::Gunicorn);
    let mut section = Section::new(
        "Harness",
        &format!(
            "{rounds} rounds of four workers each. Ours is `common`'s example `hello`, the peer is Flask under gunicorn. \
             One stop is compared with actix-web's own server, with one serving thread each."
        ),
        &format!("cargo run --release -p bench --bin harness -- --rounds {rounds}"),
    );
    let mut against = |peer, title: &str, part: &dyn Fn(Kind) -> Result<outcome::Figures>| {
        if !title.contains(&options.only) {
            return Ok(());
        }
        eprint!("{title}: ");
        let comparison = Comparison::run(title, peer, rounds, part)?;
        eprintln!();
        println!("{comparison}");
        section.rows.extend(comparison.into_rows());
        anyhow::Ok(())
    };
    for keep_alive in [true, false] {
        let title = format!(
            "stop (TERM) of one serving thread, 64 {} clients",
            connections(keep_alive)
        );
        against(Some(Kind::ActixWeb), &title, &|kind| {
            change::stop_of_one(kind, keep_alive)
        })?;
    }
    let mut measure = |title: &str, part: &dyn Fn(Kind) -> _| against(peer, title, part);
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
    measure(
        "stopped process (SIGSTOP), one worker of four, 16 closing clients",
        &fault::stopped_worker,
    )?;
    measure(
        "blocking handler, one worker of four",
        &fault::blocking_handler,
    )?;
    measure("a worker that crashes at every boot", &|kind| {
        fault::crash_loop(kind, options.quick)
    })?;
    for keep_alive in [true, false] {
        let title = format!("balance, 64 {} clients", connections(keep_alive));
        measure(&title, &|kind| steady::balance(kind, keep_alive))?;
    }
    measure("memory", &steady::memory)?;
    match &options.json {
        Some(path) => section::write(path, &[section]),
        None => Ok(()),
    }
}

fn connections(keep_alive: bool) -> &'static str {
    if keep_alive { "keep-alive" } else { "closing" }
}
