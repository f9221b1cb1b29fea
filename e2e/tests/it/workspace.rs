//! Describes the workspace: members and paths.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The directory of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns the output of `cargo metadata` for this platform; `--no-deps` restricts it to the members of the workspace.
///
/// `cargo test` downloads only crates of this platform, so for others this would need the network.
pub(crate) fn metadata(args: &[&str]) -> Result<Value> {
    let version = run(&["-vV"])?;
    let host = String::from_utf8_lossy(&version)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`cargo -vV` names no host")?
        .to_owned();
    let output = run(&[&METADATA[..], &["--filter-platform", &host], args].concat())?;
    Ok(serde_json::from_slice(&output)?)
}

const METADATA: [&str; 4] = ["metadata", "--locked", "--format-version", "1"];

/// Runs cargo in the workspace and returns its output.
fn run(args: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(cargo())
        .args(args)
        .current_dir(root())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {args:?} failed: {errors}");
    Ok(output.stdout)
}

/// The path of the cargo that runs the test.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The packages in the output of [`metadata`].
pub(crate) fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("no packages")
}

/// A member of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) directory: PathBuf,
    /// Whether it is meant for readers, not only for the workspace.
    pub(crate) published: bool,
}

impl Member {
    /// Whether it is a scenario, not a library or tool.
    pub(crate) fn is_scenario(&self) -> bool {
        let sources = self.directory.join("src");
        sources.join("main.rs").is_file() && sources.join("telemetry.rs").is_file()
    }
}

/// All members, by name.
pub(crate) fn members() -> Result<Vec<Member>> {
    let metadata = metadata(&["--no-deps"])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut members: Vec<_> = packages(&metadata)?
        .iter()
        .map(|package| Member {
            name: text(&package["name"]),
            description: text(&package["description"]),
            directory: Path::new(&text(&package["manifest_path"]))
                .parent()
                .unwrap_or(root())
                .to_owned(),
            published: package["publish"].is_null(),
        })
        .collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

/// The names of the scenarios.
pub(crate) fn scenarios() -> Result<Vec<String>> {
    let members = members()?.into_iter().filter(Member::is_scenario);
    Ok(members.map(|member| member.name).collect())
}

/// The relative paths of all files of the workspace, without build output.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            match name.context("a name that is not UTF-8")? {
                "target" | ".git" | ".direnv" | "__pycache__" => {}
                _ if path.is_dir() => directories.push(path),
                _ => files.push(path.strip_prefix(root())?.to_owned()),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The relative paths and the texts of all Markdown files of the workspace.
pub(crate) fn documents() -> Result<Vec<(PathBuf, String)>> {
    let mut documents = Vec::new();
    for path in files()? {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(root().join(&path))?;
            documents.push((path, text));
        }
    }
    Ok(documents)
}
