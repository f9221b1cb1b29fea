//! A scenario is copied to an empty directory as its README says, and works there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::{
    Program, SOON, Signal, Temporary, http,
    markdown::{self, Kind},
};

use crate::{readme::excerpts::words, workspace};

/// The section of a README that says how to use the scenario in a service of your own, and what to copy.
pub(crate) const SECTION: &str = "Adopt it";

/// The directory that a README copies to.
const ELSEWHERE: &str = "elsewhere/";

#[test]
fn a_copied_scenario_builds_with_the_same_versions_and_answers() -> Result<()> {
    let committed = locked(&workspace::root().join("Cargo.lock"))?;
    for scenario in workspace::scenarios()? {
        let elsewhere = Temporary::new(&format!("copy-{scenario}"))?;
        copy(&scenario, elsewhere.path()).with_context(|| scenario.clone())?;
        let directory = elsewhere.path().join(&scenario);

        for features in [&[][..], &["--no-default-features"]] {
            build_and_ask(&directory, &scenario, features)
                .with_context(|| format!("{scenario} {features:?}"))?;
        }

        // Cargo removes the packages that the copy does not need, and would add those that are missing.
        let moved: Vec<_> = locked(&directory.join("Cargo.lock"))?
            .difference(&committed)
            .cloned()
            .collect();
        assert!(moved.is_empty(), "{scenario}: {moved:#?}");
    }
    Ok(())
}

#[test]
fn the_steps_to_adopt_a_scenario_show_its_telemetry_and_its_dependencies() -> Result<()> {
    for scenario in workspace::scenarios()? {
        let directory = workspace::root().join(&scenario);
        let shown = section(&fs::read_to_string(directory.join("README.md"))?)?;
        for file in ["src/telemetry.rs", "src/main.rs", "Cargo.toml"] {
            let text = fs::read_to_string(directory.join(file))?;
            let lines: BTreeSet<_> = text.lines().map(words).collect();
            let count = shown.iter().filter(|line| lines.contains(&words(line)));
            let count = count.count();
            assert!(
                count >= 2,
                "{scenario}/README.md shows {count} lines of {file}"
            );
        }
    }
    Ok(())
}

/// Runs the commands with which the README copies the scenario.
fn copy(scenario: &str, elsewhere: &Path) -> Result<()> {
    let readme = workspace::root().join(scenario).join("README.md");
    let lines = section(&fs::read_to_string(readme)?)?;
    let commands: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    ensure!(!commands.is_empty(), "it does not say what to copy");
    for command in commands {
        if !command.starts_with("cp ") || !command.contains(ELSEWHERE) {
            bail!("`{command}` does not copy to {ELSEWHERE}");
        }
        let command = command.replace(ELSEWHERE, &format!("{}/", elsewhere.display()));
        let copied = Command::new("sh")
            .args(["-c", &command])
            .current_dir(workspace::root())
            .output()?;
        let errors = String::from_utf8_lossy(&copied.stderr);
        ensure!(copied.status.success(), "`{command}` failed: {errors}");
    }
    Ok(())
}

/// The lines of all blocks in the section that says what to copy.
fn section(readme: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for part in markdown::read(readme)? {
        match part.kind {
            Kind::Heading { level: 1 | 2, text } => is_inside = text == SECTION,
            Kind::Block { lines, .. } if is_inside => found.extend(lines),
            _ => {}
        }
    }
    Ok(found)
}

fn build_and_ask(directory: &Path, name: &str, features: &[&str]) -> Result<()> {
    cargo(directory, &[&["build"], features].concat())?;
    let mut program = Program::found(target_directory().join("debug").join(name))
        .env("PORT", "0")
        .start()?;
    assert_eq!(http::get(program.addr()?, "/")?.status, 200);
    program.signal(Signal::SIGTERM)?;
    assert!(program.wait_exit(SOON)?.success());
    program.wait_gone(SOON)
}

/// Where the copies are built: one after the other, so that they share what they depend on.
fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("copy")
}

fn cargo(directory: &Path, args: &[&str]) -> Result<()> {
    let built = Command::new(workspace::cargo())
        .args(args)
        .current_dir(directory)
        .env("CARGO_TARGET_DIR", target_directory())
        // Nobody looks at these builds in a debugger, and they take half the time.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_INCREMENTAL", "0")
        .output()?;
    let errors = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "cargo {args:?} failed:\n{errors}");
    Ok(())
}

/// Name, version, source and checksum of each package that a lock file names and that comes from a registry.
fn locked(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let packages = text.split("[[package]]").skip(1);
    Ok(packages
        .filter(|package| package.contains("\nsource = "))
        .map(|package| {
            let facts = package.lines().filter(|line| {
                let facts = ["name = ", "version = ", "source = ", "checksum = "];
                facts.iter().any(|fact| line.starts_with(fact))
            });
            facts.collect::<Vec<_>>().join(", ")
        })
        .collect())
}
