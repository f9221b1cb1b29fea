//! The Python that the peers run on.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Where the peers' programs are.
pub fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))
}

/// The interpreter to use: what `PYTHON` names, or `python3`.
pub fn interpreter() -> PathBuf {
    env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// The interpreter, if it has all these modules.
///
/// Says on stderr how to get them otherwise, once for each call.
pub fn with_modules(modules: &[&str]) -> Option<PathBuf> {
    let python = interpreter();
    let has_all = Command::new(&python)
        .args(["-c", &format!("import {}", modules.join(", "))])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if has_all.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    eprintln!(
        "{} has not all of {}, so its figures are left out: pip install -r bench/peers/requirements.txt, or name \
         another interpreter in PYTHON",
        python.display(),
        modules.join(", ")
    );
    None
}

/// Makes a virtual environment in `directory` with all that the peers need, unless it is there, and gives its
/// interpreter.
///
/// # Errors
///
/// When there is no `python3` with `venv`, or the package index cannot be reached.
pub fn environment(directory: &Path) -> Result<PathBuf> {
    let python = directory.join("bin/python3");
    let requirements = peers().join("requirements.txt");
    let complete = directory.join("complete");
    let wanted = std::fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    if std::fs::read(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ])
        .arg(&requirements))?;
    std::fs::write(&complete, wanted)
        .with_context(|| format!("cannot write {}", complete.display()))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
