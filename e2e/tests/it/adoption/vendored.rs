//! A copy of the plain service, beside a copy of the libraries.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use e2e::{Program, Temporary};

use crate::workspace;

/// What the service consists of; cargo may have left more there.
const FILES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "common", "todo"];

/// Where the libraries are copied to, since the name `common` is taken.
const VENDOR: &str = "vendor/observability";

/// The committed service.
pub(super) fn source() -> PathBuf {
    adoption().join("service")
}

fn adoption() -> PathBuf {
    workspace::root().join("e2e/adoption")
}

static BUILDING: Mutex<()> = Mutex::new(());

/// A copy of the service.
pub(super) struct Service(Temporary);

impl Service {
    pub(super) fn copy(scenario: &str) -> Result<Self> {
        let copy = Self(Temporary::new(&format!("adopt-{scenario}"))?);
        for file in FILES {
            copy.take(&source().join(file), ".")?;
        }
        let vendor = copy.0.directory(VENDOR)?;
        copy.take(&workspace::root().join("common"), &vendor.to_string_lossy())?;
        Ok(copy)
    }

    pub(super) fn directory(&self) -> &Path {
        self.0.path()
    }

    fn take(&self, what: &Path, to: &str) -> Result<()> {
        let what = what.to_string_lossy();
        self.run(Command::new("cp").args(["-r", &what, to]))
            .map(drop)
    }

    /// Applies a patch, and says how many lines it adds and removes.
    pub(super) fn apply(&self, name: &str) -> Result<usize> {
        let path = adoption().join(format!("patches/{name}.patch"));
        self.run(Command::new("git").arg("apply").arg(&path))?;
        let patch = fs::read_to_string(path)?;
        let is_changed = |line: &&str| {
            let is_header = line.starts_with("+++ ") || line.starts_with("--- ");
            line.starts_with(['+', '-']) && !is_header
        };
        Ok(patch.lines().filter(is_changed).count())
    }

    /// Copies `telemetry.rs` of the scenario if the patch makes it a module. The libraries have another name here.
    pub(super) fn copy_telemetry_if_used(&self, scenario: &str) -> Result<()> {
        let sources = self.directory().join("todo/src");
        if fs::read_to_string(sources.join("main.rs"))?.contains("mod telemetry;") {
            let path = workspace::root().join(scenario).join("src/telemetry.rs");
            let telemetry = fs::read_to_string(&path)?;
            let telemetry = telemetry.replace("use common::", "use observability::");
            fs::write(sources.join("telemetry.rs"), telemetry)?;
        }
        Ok(())
    }

    /// Runs cargo in the copy and returns its output. The crates of the service may have to be downloaded.
    pub(super) fn cargo(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(workspace::cargo());
        command
            .args(args)
            .env("CARGO_TARGET_DIR", target_directory())
            // Nobody looks at these builds in a debugger, and they take half the time.
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0");
        self.run(&mut command)
    }

    /// Builds the service.
    pub(super) fn build(&self) -> Result<()> {
        // All copies have the same name in one directory, and the next build replaces it.
        let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        self.cargo(&["build"])?;
        fs::copy(target_directory().join("debug/todo"), self.built())?;
        Ok(())
    }

    fn built(&self) -> PathBuf {
        self.directory().join("todo.built")
    }

    /// The service, which was built.
    pub(super) fn program(&self) -> Result<Program> {
        let database = self.directory().join("todo.db");
        Ok(Program::found(self.built())
            .env("PORT", "0")
            .env("DATABASE", database))
    }

    fn run(&self, command: &mut Command) -> Result<String> {
        let output = command
            .current_dir(self.directory())
            .output()
            .with_context(|| format!("cannot run {command:?}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed:\n{errors}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Where the copies are built, so that they share what they depend on.
fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("adoption")
}
