//! Compares the metric store with the `prometheus` crate in memory and, if available, with Python's
//! `prometheus_client` on the same directories.
//!
//!     cargo run --release -p bench --bin store [-- --rounds N]
//!
//! Python is `python3` or the value of `PYTHON`, and needs `prometheus-client`. Both sides take turns. The
//! directories are in `/dev/shm`.

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
    /// Number of rounds; each side has one turn per round.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Maximum of workers and of series per worker for the growth measurement.
    #[arg(long, default_values_t = [64, 100_000], num_args = 2, value_names = ["WORKERS", "SERIES"])]
    up_to: Vec<usize>,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Internal: scrape this directory once and print its memory use.
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    memory_of: Option<PathBuf>,
    /// Internal: the same for `prometheus` with this many series in memory.
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

/// The command that repeats all measurements.
const COMMAND: &str = "cargo run --release -p bench --bin store";
