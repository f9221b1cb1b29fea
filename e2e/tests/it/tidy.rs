//! What the manifests and the scenarios have to agree on, since none inherits from the workspace.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Files that stand in several scenarios, so that each can be copied whole.
const SAME_EVERYWHERE: [&str; 4] = ["console.rs", "escape.rs", "otlp.rs", "resource.rs"];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn metadata(args: &[&str]) -> Result<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(args)
        .current_dir(workspace())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {errors}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("no packages")
}

#[test]
fn a_dependency_has_the_same_version_in_every_manifest() -> Result<()> {
    let metadata = metadata(&["--no-deps"])?;
    let mut versions: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for package in packages(&metadata)? {
        let dependencies = package["dependencies"].as_array().context("no list")?;
        for dependency in dependencies.iter().filter(|found| found["path"].is_null()) {
            let name = dependency["name"].as_str().context("no name")?;
            let version = dependency["req"].as_str().context("no version")?;
            let user = package["name"].as_str().context("no name")?;
            let users = versions.entry(name).or_default().entry(version);
            users.or_default().push(user);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:#?}");
    Ok(())
}

#[test]
fn every_manifest_states_the_oldest_compiler_that_the_dependencies_allow() -> Result<()> {
    let metadata = metadata(&[])?;
    let number = |version: &str| -> (u32, u32) {
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    let is_ours = |package: &&Value| package["source"].is_null();
    let (ours, others): (Vec<_>, Vec<_>) = packages(&metadata)?.iter().partition(is_ours);
    let states = |package: &Value| package["rust_version"].as_str().map(number);
    let newest = others.into_iter().filter_map(states).max();
    for package in ours {
        assert_eq!(states(package), newest, "{}", package["name"]);
    }
    Ok(())
}

#[test]
fn a_file_that_stands_in_several_scenarios_is_the_same_in_each() -> Result<()> {
    for name in SAME_EVERYWHERE {
        let mut found: Vec<(String, String)> = Vec::new();
        for entry in fs::read_dir(workspace())? {
            let sources = entry?.path().join("src");
            let path = sources.join(name);
            // Other crates have files of the same names.
            if sources.join("telemetry.rs").exists()
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path.display().to_string(), text));
            }
        }
        ensure!(found.len() > 1, "{name} stands in {} places", found.len());
        for (path, text) in &found[1..] {
            assert!(*text == found[0].1, "{path} differs from {}", found[0].0);
        }
    }
    Ok(())
}
