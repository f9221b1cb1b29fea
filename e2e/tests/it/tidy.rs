//! Consistency checks of manifests and scenarios, which do not inherit from the workspace.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use e2e::{
    Program, SOON,
    markdown::{self, Kind},
};
use serde_json::Value;

use crate::{copy, workspace};

#[test]
fn a_dependency_has_the_same_version_in_every_program() -> Result<()> {
    let metadata = workspace::metadata(&["--no-deps"])?;
    let mut versions: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    // A library states the oldest version that it works with.
    let is_program = |package: &&Value| {
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        !Path::new(manifest).starts_with(workspace::root().join("common"))
    };
    for package in workspace::packages(&metadata)?.iter().filter(is_program) {
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
    let metadata = workspace::metadata(&[])?;
    let number = |version: &str| -> (u32, u32) {
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    let is_ours = |package: &&Value| package["source"].is_null();
    let (ours, others): (Vec<_>, Vec<_>) =
        workspace::packages(&metadata)?.iter().partition(is_ours);
    let states = |package: &Value| package["rust_version"].as_str().map(number);
    let newest = others.into_iter().filter_map(states).max();
    for package in ours {
        assert_eq!(states(package), newest, "{}", package["name"]);
    }
    Ok(())
}

/// The headings of a scenario's README, in this order. Others may be between them.
const HEADINGS: [&str; 7] = [
    "Run it",
    "What you see",
    copy::SECTION,
    "Configuration",
    "How it works",
    "In production",
    "Limits",
];

#[test]
fn the_readme_lists_exactly_the_published_members() -> Result<()> {
    let readme = fs::read_to_string(workspace::root().join("README.md"))?;
    let mut listed: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| [`"))
        .filter_map(|line| line.split('`').next())
        .map(|name| name.trim_start_matches("cargo run -p ").to_owned())
        .collect();
    listed.sort();
    let members = workspace::members()?.into_iter();
    let published = members.filter(|member| member.published);
    assert_eq!(
        listed,
        published.map(|member| member.name).collect::<Vec<_>>()
    );
    Ok(())
}

#[test]
fn the_readme_of_every_scenario_has_the_same_headings() -> Result<()> {
    for scenario in workspace::scenarios()? {
        let text = fs::read_to_string(workspace::root().join(&scenario).join("README.md"))?;
        let mut found = Vec::new();
        for part in markdown::read(&text)? {
            match part.kind {
                Kind::Heading { level: 1, text } => assert_eq!(text, scenario),
                Kind::Heading { level: 2, text } => found.push(text),
                _ => {}
            }
        }
        found.retain(|heading| HEADINGS.contains(&heading.as_str()));
        assert_eq!(found, HEADINGS, "{scenario}");
    }
    Ok(())
}

/// Documents flags and variables that several scenarios have.
const CONFIGURATION: &str = "docs/configuration.md";

#[test]
fn every_scenario_documents_each_flag_with_variable_and_default_and_keeps_the_contract()
-> Result<()> {
    const CONTRACT: [(&str, &str, &str); 7] = [
        ("--host", "BIND_HOST", "127.0.0.1"),
        ("--port", "PORT", "5100"),
        ("--workers", "WEB_CONCURRENCY", "2"),
        ("--threads", "WORKER_THREADS", "1"),
        ("--metrics-port", "METRICS_PORT", ""),
        ("--graceful-timeout", "GRACEFUL_TIMEOUT", "30"),
        ("--error-rate", "ERROR_RATE", "0.5"),
    ];
    let shared = fs::read_to_string(workspace::root().join(CONFIGURATION))?;
    for scenario in workspace::scenarios()? {
        let readme = fs::read_to_string(workspace::root().join(&scenario).join("README.md"))?;
        assert!(
            readme.contains(CONFIGURATION),
            "{scenario}/README.md has no link to {CONFIGURATION}"
        );
        let help = Program::new(&scenario).arg("--help").run(SOON)?.stdout;
        let flags = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        for flag in flags.filter(|flag| !["--help", "--version"].contains(flag)) {
            let row = readme
                .lines()
                .chain(shared.lines())
                .find(|line| line.starts_with(&format!("| `{flag}` |")));
            let row = row.with_context(|| {
                format!("neither {scenario}/README.md nor {CONFIGURATION} has a row for {flag}")
            })?;
            if let Some((_, variable, default)) = CONTRACT.iter().find(|known| known.0 == flag) {
                assert!(
                    row.contains(&format!("| `{variable}` |")),
                    "{scenario}: {row}"
                );
                assert!(row.contains(default), "{scenario}: {row}");
                assert!(
                    help.contains(&format!("[env: {variable}")),
                    "{scenario}: {help}"
                );
                let default = format!("[default: {default}]");
                assert!(
                    help.contains(&default) || flag == "--metrics-port",
                    "{scenario}: {help}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn every_scenario_with_metrics_names_those_of_the_contract() -> Result<()> {
    const NAMES: [&str; 4] = [
        "num_requests",
        "error_count",
        "http.server.request.duration",
        "http.server.active_requests",
    ];
    let scenarios = workspace::scenarios()?.into_iter();
    for scenario in scenarios.filter(|name| name.starts_with("metrics-")) {
        let readme = fs::read_to_string(workspace::root().join(&scenario).join("README.md"))?;
        for name in NAMES {
            let prometheus = name.replace('.', "_");
            let is_named = readme.lines().any(|line| {
                let cell = line.strip_prefix("| `").unwrap_or_default();
                [name, &prometheus]
                    .iter()
                    .any(|name| cell.starts_with(name))
            });
            assert!(is_named, "{scenario}/README.md has no row for {name}");
        }
    }
    Ok(())
}

#[test]
fn every_link_in_a_document_leads_to_a_file() -> Result<()> {
    for (path, text) in workspace::documents()? {
        for part in markdown::read(&text)? {
            let Kind::Link(target) = part.kind else {
                continue;
            };
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let directory = path.parent().unwrap_or(Path::new(""));
            let is_there = workspace::root().join(directory).join(file).exists();
            assert!(is_there, "{}:{}: {target}", path.display(), part.line);
        }
    }
    Ok(())
}

#[test]
fn no_editor_or_merge_tool_left_a_file_behind() -> Result<()> {
    for file in workspace::files()? {
        let name = file.display().to_string();
        let is_leftover = [".orig", ".rej", ".bak", ".tmp", ".log", "~"]
            .iter()
            .any(|end| name.ends_with(end));
        assert!(!is_leftover, "{name} is a leftover");
    }
    Ok(())
}

#[test]
fn the_changelog_has_a_heading_for_what_is_not_released() -> Result<()> {
    let changelog = fs::read_to_string(workspace::root().join("CHANGELOG.md"))?;
    assert!(changelog.lines().any(|line| line == "## Unreleased"));
    Ok(())
}
