//! What somebody who has just cloned the repository waits for: each scenario built from nothing.
//!
//!     cargo run --release -p bench --bin first_run [-- SCENARIO...]
//!
//! The crates are downloaded already; only compiling is measured. A target directory of its own is used and removed.

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

/// Builds each scenario from nothing, as `cargo run -p SCENARIO` does the first time.
#[derive(Parser)]
struct Options {
    /// Scenarios to build [default: all that there are].
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
        "The time until a scenario is built from nothing, in the profile of `cargo run`, and the crates that takes; \
         nothing is downloaded.",
        "cargo run --release -p bench --bin first_run",
    );
    for name in &scenarios {
        eprintln!("building {name} from nothing");
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

/// What has a `telemetry.rs` is a scenario.
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
    // A crate that stands there once more has a mark behind its version.
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
