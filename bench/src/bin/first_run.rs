//! Measures the first build of each scenario.
//!
//!     cargo run --release -p bench --bin first_run [-- SCENARIO...]
//!
//! It measures only compilation: the crates must be downloaded already. It uses and removes its own target directory.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use bench::{Row, Section, section};
use clap::Parser;

/// Measures a clean build of each scenario, as in the first `cargo run -p SCENARIO`.
#[derive(Parser)]
struct Options {
    /// Scenarios to build [default: all].
    scenarios: Vec<String>,
    /// Also write the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let scenarios = if options.scenarios.is_empty() {
        all(&workspace)?
    } else {
        options.scenarios
    };
    let mut section = Section::new(
        "First run",
        "Duration of a clean build of each scenario, in the profile of `cargo run` and without downloads, and the number of crates.",
        "cargo run --release -p bench --bin first_run",
    );
    for name in &scenarios {
        eprintln!("building {name} in an empty target directory");
        let target = workspace.join("target/bench/first-run");
        remove(&target)?;
        let seconds = build(&workspace, name, &target)?;
        remove(&target)?;
        section.rows.extend([
            Row::new(format!("{name}, clean build"), "s", &[seconds]),
            Row::new(
                format!("{name}, crates"),
                "crates",
                &[crates(&workspace, name)? as f64],
            ),
        ]);
    }
    println!("{section}");
    match &options.json {
        Some(path) => section::write(path, &[section]),
        None => Ok(()),
    }
}

/// A directory with a `telemetry.rs` is a scenario.
fn all(workspace: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace).context("cannot list the workspace")? {
        let entry = entry?;
        if entry.path().join("src/telemetry.rs").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Seconds.
fn build(workspace: &Path, name: &str, target: &Path) -> Result<f64> {
    let began = Instant::now();
    let status = cargo(workspace)
        .args(["build", "--quiet", "--locked", "-p", name, "--target-dir"])
        .arg(target)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "{name} cannot be built: {status}");
    Ok(began.elapsed().as_secs_f64())
}

fn crates(workspace: &Path, name: &str) -> Result<usize> {
    let output = cargo(workspace)
        .args(["tree", "--locked", "-p", name, "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo tree -p {name}: {}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // `cargo tree` marks repeated crates after their version.
    let crates = text.lines().map(|line| line.trim_end_matches(" (*)"));
    Ok(crates
        .filter(|line| !line.is_empty())
        .collect::<BTreeSet<_>>()
        .len())
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}
