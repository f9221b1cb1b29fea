//! Builds the programs that the tests start, once per test process.

use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An executable of the workspace, and how to build it.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) package: String,
    pub(crate) target: Target,
    /// The profile. `None` selects the profile of the running test.
    pub(crate) profile: Option<String>,
    /// More arguments for `cargo build`, such as `--no-default-features`.
    pub(crate) build_args: Vec<String>,
}

/// An executable of a package.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Target {
    Bin(String),
    Example(String),
}

/// Prefixes of the variables that cargo sets for the package that it runs.
const PACKAGE_VARIABLES: [&str; 3] = ["CARGO_BIN_EXE_", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// What this process has built. A panic leaves the map consistent.
static BUILT: Mutex<Option<HashMap<Artifact, PathBuf>>> = Mutex::new(None);

/// Held during a build: cargo would serialize builds anyway.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds `artifact` unless this process has done so already, and returns the path of the executable.
///
/// The build of another program is waited for only if this one has to be built, too: a test that restarts a server under
/// load must not keep its clients waiting.
pub(crate) fn executable(artifact: &Artifact) -> Result<PathBuf> {
    if let Some(path) = built(artifact) {
        return Ok(path);
    }
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built(artifact) {
        return Ok(path);
    }
    let path = build(artifact)?;
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .get_or_insert_default()
        .insert(artifact.clone(), path.clone());
    Ok(path)
}

fn built(artifact: &Artifact) -> Option<PathBuf> {
    let built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.as_ref()?.get(artifact).cloned()
}

fn build(artifact: &Artifact) -> Result<PathBuf> {
    let executable = build_as_asked(artifact)?;
    let kept = keep(&executable, &artifact.build_args)?;
    if !artifact.build_args.is_empty() {
        // Other tests start the executable under cargo's own name, and expect the usual build. Where that fails,
        // because the executable needs the features, there are no such tests.
        let _ = build_as_asked(&Artifact {
            build_args: Vec::new(),
            ..artifact.clone()
        });
    }
    Ok(kept)
}

fn build_as_asked(artifact: &Artifact) -> Result<PathBuf> {
    let mut command = cargo_build(artifact)?;
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed, {}:\n{errors}", output.status);
    }
    let (Target::Bin(name) | Target::Example(name)) = &artifact.target;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name.as_str())
        // The unit tests of a program are an executable with the same name.
        .filter(|message| message["profile"]["test"] == false)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("{command:?} names no executable `{name}`"))
}

/// Gives an executable a second name. Under cargo's own name, the next build with other features would replace it.
fn keep(executable: &Path, build_args: &[String]) -> Result<PathBuf> {
    let directory = executable
        .with_file_name("e2e")
        .join(format!("build{}", build_args.concat()));
    let kept = directory.join(executable.file_name().unwrap_or_default());
    let link = || {
        fs::create_dir_all(&directory)?;
        match fs::remove_file(&kept) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(executable, &kept)
    };
    link().with_context(|| format!("cannot link {}", kept.display()))?;
    Ok(kept)
}

fn cargo_build(artifact: &Artifact) -> Result<Command> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--message-format=json"]);
    if artifact.profile.is_none() && artifact.build_args.is_empty() {
        // The same packages as `cargo test`, which has built them. Another selection would change the features of
        // dependencies and rebuild them.
        command.args(["--workspace", "--tests"]);
    } else {
        command.arg("-p").arg(&artifact.package);
    }
    match &artifact.target {
        Target::Bin(name) => command.args(["--bin", name]),
        Target::Example(name) => command.args(["--example", name]),
    };
    let outer = OuterBuild::find()?;
    let profile = match &artifact.profile {
        Some(profile) => profile.clone(),
        None => outer.profile,
    };
    command
        .args(["--profile", &profile])
        .arg("--target-dir")
        .arg(outer.target_dir)
        .args(&artifact.build_args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    forget_package(&mut command);
    Ok(command)
}

/// Removes the variables that cargo sets for this process's package. Build scripts that read them (such as that of
/// `ring`) would run again, with everything that depends on them, and once more in the next `cargo test`.
fn forget_package(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if PACKAGE_VARIABLES
            .iter()
            .any(|start| text.starts_with(start))
        {
            command.env_remove(&name);
        }
    }
}

/// Target directory and profile of the running executable.
struct OuterBuild {
    target_dir: PathBuf,
    profile: String,
}

impl OuterBuild {
    fn find() -> Result<Self> {
        let executable = env::current_exe().context("cannot tell which executable is running")?;
        Self::of(&executable).with_context(|| {
            format!(
                "{} lies in no target directory of cargo; start it by `cargo test` or `cargo run`",
                executable.display()
            )
        })
    }

    /// Parses `TARGET/[TRIPLE/]PROFILE/[deps/]NAME`. The target directory is the one with cargo's marker file.
    fn of(executable: &Path) -> Option<Self> {
        let target_dir = executable
            .ancestors()
            .find(|directory| directory.join(".rustc_info.json").is_file())?;
        let directory = executable.parent()?;
        let directory = match directory.file_name()?.to_str()? {
            "deps" | "examples" => directory.parent()?,
            _ => directory,
        };
        let profile = match directory.file_name()?.to_str()? {
            "debug" => "dev",
            other => other,
        };
        Some(Self {
            target_dir: target_dir.to_owned(),
            profile: profile.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::SOON;

    #[test]
    fn the_build_of_the_running_test_is_found() {
        let outer = OuterBuild::find().unwrap();
        assert!(env::current_exe().unwrap().starts_with(&outer.target_dir));
        let expected = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        assert_eq!(outer.profile, expected);
    }
    #[test]
    fn a_program_that_is_built_does_not_wait_for_the_build_of_another() {
        let artifact = Artifact {
            package: "built".to_owned(),
            target: Target::Bin("built".to_owned()),
            profile: None,
            build_args: Vec::new(),
        };
        let path = PathBuf::from("built");
        let insert = (artifact.clone(), path.clone());
        BUILT
            .lock()
            .unwrap()
            .get_or_insert_default()
            .extend([insert]);

        let _another = BUILDING.lock().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(executable(&artifact).ok()));
        assert_eq!(receiver.recv_timeout(SOON).unwrap(), Some(path));
    }
}
