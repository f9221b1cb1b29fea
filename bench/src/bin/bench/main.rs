//! Runs all benchmarks and writes their results.
//!
//!     cargo run --release -p bench [-- --quick] [-- --only store]
//!
//! It prints the tables, and writes `target/bench/results.json`, a page for each part, the chart and a copy of the
//! figures in `docs/benchmarks/`, and the part of BENCHMARKS.md between its two marks. Figures that were not measured
//! again stay unchanged. It refuses to write figures of a machine that is busy with something else.

mod chart;
mod machine;
mod page;
mod results;
mod summary;

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use bench::{python, section};
use clap::Parser;

use self::{
    page::Page,
    results::{Part, Results},
};

/// Runs all benchmarks and writes BENCHMARKS.md.
#[derive(Parser)]
struct Options {
    /// Run few rounds, to check that everything works; does not change BENCHMARKS.md and docs/benchmarks/.
    #[arg(long)]
    quick: bool,
    /// Measure nothing: write the pages again from the figures that are there.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    pages: bool,
    /// Run only this part; may be repeated.
    #[arg(long, value_name = "PART", value_parser = clap::builder::PossibleValuesParser::new(names()))]
    only: Vec<String>,
}

/// A benchmark program.
struct Program {
    name: &'static str,
    /// Arguments for `--quick`.
    quick: &'static [&'static str],
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "store",
        quick: &["--rounds", "1", "--up-to", "8", "1000"],
    },
    Program {
        name: "requests",
        quick: &["--rounds", "1", "--requests", "4000"],
    },
    Program {
        name: "harness",
        quick: &["--quick"],
    },
    Program {
        name: "first_run",
        quick: &["metrics-multi-process-pull"],
    },
];

fn names() -> Vec<&'static str> {
    PROGRAMS.iter().map(|program| program.name).collect()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let target = workspace.join("target/bench");
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
    let docs = workspace.join("docs/benchmarks");
    let mut results = Results::read(&docs.join("results.json"))?;
    if !options.pages {
        measure(&options, &target, &mut results)?;
    }
    if options.quick {
        return Ok(());
    }
    fs::create_dir_all(&docs).with_context(|| format!("cannot create {}", docs.display()))?;
    results.write(&docs.join("results.json"))?;
    let write = |name: &str, text: String| {
        let path = docs.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (name, part) in &results.parts {
        write(&format!("{name}.md"), Page(name, part).to_string())?;
    }
    write("chart.svg", chart::draw(&summary::rows(&results)?))?;
    summary::update(&workspace.join("BENCHMARKS.md"), &results)?;
    println!("wrote the new figures to BENCHMARKS.md and docs/benchmarks/");
    Ok(())
}

/// Runs the benchmarks that the options name.
fn measure(options: &Options, target: &Path, results: &mut Results) -> Result<()> {
    let python = match env::var_os("PYTHON") {
        Some(python) => PathBuf::from(python),
        None => python::environment(&target.join("python")).context(
            "cannot install the peers; without a package index, name in PYTHON an interpreter that has what is in \
             bench/peers/requirements.txt",
        )?,
    };
    for program in &PROGRAMS {
        if options.only.is_empty() || options.only.iter().any(|name| name == program.name) {
            let part = run(program, options.quick, &python, target)?;
            results.parts.insert(program.name.to_owned(), part);
            // Save now, so that nothing is lost if the next program fails.
            results.write(&target.join("results.json"))?;
        }
    }
    Ok(())
}

/// Less may be idle only if something else runs. Figures that go with it are worth little.
const IDLE_AT_LEAST: f64 = 0.95;

/// Runs one program with the command that its page states.
fn run(program: &Program, quick: bool, python: &Path, target: &Path) -> Result<Part> {
    let json = target.join(program.name).with_extension("json");
    let idle = machine::idle()?;
    ensure!(
        quick || idle >= IDLE_AT_LEAST,
        "the machine is busy with something else: only {:.0} % of its processor time is idle, and {} needs {:.0} %",
        100.0 * idle,
        program.name,
        100.0 * IDLE_AT_LEAST
    );
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--locked", "--release", "-p", "bench"])
        .args(["--bin", program.name, "--"])
        .args(program.quick.iter().filter(|_| quick))
        .arg("--json")
        .arg(&json)
        .env("PYTHON", python)
        .env("PATH", with_tools_of(python));
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(Part {
        measured: machine::today()?,
        commit: machine::commit()?,
        machine: machine::describe()?,
        idle: Some(idle),
        sections: section::read(&json)?,
    })
}

/// `PATH` with gunicorn, which is in the directory of the interpreter.
fn with_tools_of(python: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = python
        .parent()
        .filter(|tools| !tools.as_os_str().is_empty());
    let directories = tools
        .map(Path::to_owned)
        .into_iter()
        .chain(env::split_paths(&path));
    // Fails only for a directory with a colon.
    env::join_paths(directories).unwrap_or(path)
}
