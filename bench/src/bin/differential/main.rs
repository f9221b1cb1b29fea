//! The store's reader and writer beside Python's, on metrics, label values, interleavings and damage chosen at random.
//!
//!     cargo run --release -p bench --bin differential [-- --seconds N --seed N]
//!
//! Each round makes up what some worker processes do, and then:
//!
//! 1. Python does all of it in one directory and we do all of it in another one: the files must be the same to the byte,
//!    and what each reader says of each directory must be the same text.
//! 2. In a third directory some of the workers are Python's and some ours, in turns: both readers must agree.
//! 3. One of the files is damaged: our reader must serve what is in the others, name the damaged one unless Python can
//!    read it too, and a worker that goes on with it must leave a file that both readers accept.
//!
//! A difference ends the run; the directories stay, and `--seed` with the number that was printed repeats it.

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

/// Looks for differences between the store and Python's prometheus_client.
#[derive(Parser)]
struct Options {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ends after so many rounds, if the time is not over before.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    rounds: u64,
    /// The seed of the first round; each one after it has the next number [default: another one each time].
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
                "seed {seed}: {error:#}\nthe directories are in {}; this repeats it: --rounds 1 --seed {seed}",
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
