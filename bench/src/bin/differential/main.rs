//! Compares the store's reader and writer with Python's, with random metrics, label values, interleavings and damage.
//!
//!     cargo run --release -p bench --bin differential [-- --seconds N --seed N]
//!
//! Each round generates a script for several workers:
//!
//! 1. Python runs it in one directory, and our store in another. The files must be identical, and both readers must
//!    return the same text for both directories.
//! 2. In a third directory some workers are Python's and some are ours, in turns. Both readers must agree.
//! 3. One of the files is damaged. Our reader must serve the other files, and name the damaged one unless Python can
//!    read it too. A worker that continues with the damaged file must leave a file that both readers accept.
//!
//! The first difference ends the run. The directories are kept, and `--seed` with the printed number repeats it.

mod check;
mod damage;
mod peer;
mod script;
mod writer;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use bench::Random;
use clap::Parser;
use e2e::{Temporary, real_part};

use self::{peer::Python, script::Script};

/// Finds differences between the metric store and Python's prometheus_client.
#[derive(Parser)]
struct Options {
    /// Duration of the test in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Maximum number of rounds.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    rounds: u64,
    /// Seed of the first round; each following round uses the next number [default: random].
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let Some(mut python) = Python::start()? else {
        real_part::skip("there is no Python with prometheus_client to compare with")?;
        return Ok(ExitCode::SUCCESS);
    };
    let first = options.seed.unwrap_or_else(Random::any_seed);
    println!("seed {first}");
    let began = Instant::now();
    let mut rounds = 0;
    while rounds < options.rounds && began.elapsed() < Duration::from_secs(options.seconds) {
        let seed = first.wrapping_add(rounds);
        let root = Temporary::in_memory("differential")?;
        if let Err(error) = round(seed, &root, &mut python) {
            println!(
                "seed {seed}: {error:#}\nthe directories are in {}; to repeat this round: --rounds 1 --seed {seed}",
                root.path().display()
            );
            std::mem::forget(root);
            return Ok(ExitCode::FAILURE);
        }
        rounds += 1;
    }
    println!("{rounds} rounds in {:.0?}, no difference", began.elapsed());
    Ok(ExitCode::SUCCESS)
}

fn round(seed: u64, root: &Temporary, python: &mut Python) -> Result<()> {
    let mut random = Random::new(seed);
    let script = Script::new(&mut random);
    check::the_same_files(&script, root, python)?;
    let mixed = check::one_directory(&script, root, python)?;
    check::damage(&mut random, &mixed, root, python)
}
