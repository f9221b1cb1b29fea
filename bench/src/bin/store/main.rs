//! The metric store beside the `prometheus` crate in memory and, if there is one, Python's
//! `prometheus_client` on the same directories.
//!
//!     cargo run --release -p bench --bin store [-- --rounds N]
//!
//! Python is `python3`, or what `PYTHON` names; it needs `prometheus-client`. Ours and the peer take
//! turns, round by round. The directories are in `/dev/shm`.

mod directories;
mod growth;
mod memory;
mod peer;
mod rounds;
mod scrapes;
mod updates;

use std::path::PathBuf;

use anyhow::Result;
use bench::{Section, section};
use clap::Parser;
use e2e::Temporary;

use self::{peer::Python, rounds::Rounds};

/// Measures updates and scrapes of the metric store.
#[derive(Parser)]
struct Options {
    /// How often each side has its turn.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The most workers and series each that growth is followed to.
    #[arg(long, default_values_t = [64, 100_000], num_args = 2, value_names = ["WORKERS", "SERIES"])]
    up_to: Vec<usize>,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Scrapes this directory once and prints what that took of memory; a benchmark starts itself so.
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    memory_of: Option<PathBuf>,
    /// The same of `prometheus` with so many series in memory.
    #[arg(long, hide = true, value_name = "SERIES")]
    memory_of_prometheus: Option<usize>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(directory) = &options.memory_of {
        return memory::print(directory);
    }
    if let Some(series) = options.memory_of_prometheus {
        return memory::print_of_prometheus(series);
    }
    let rounds = Rounds(options.rounds);
    let root = Temporary::in_memory("store")?;
    let mut python = Python::start()?;
    let mut sections = Vec::new();
    let mut finish = |section: Section| {
        println!("{section}");
        sections.push(section);
    };
    finish(updates::measure(&root, python.as_mut(), rounds)?);
    finish(scrapes::measure(&root, python.as_mut(), rounds)?);
    finish(memory::measure(&root, python.is_some())?);
    let (workers, series) = (options.up_to[0], options.up_to[1]);
    finish(growth::measure(&root, workers, series, rounds)?);
    match &options.json {
        Some(path) => section::write(path, &sections),
        None => Ok(()),
    }
}

/// How all figures of this program are measured again.
const COMMAND: &str = "cargo run --release -p bench --bin store";
