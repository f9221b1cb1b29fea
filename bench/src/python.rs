//! The Python interpreter of the peers.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Directory of the peers' programs.
pub fn peers() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))
}

/// The interpreter: the value of `PYTHON`, or `python3`.
pub fn interpreter() -> PathBuf {
    env::var_os("PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// Returns the interpreter if it has all these modules. Otherwise prints on stderr how to install them.
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
        "{} lacks some of the modules {}, skipping its figures: run `pip install -r bench/peers/requirements.txt`, or \
         set PYTHON to another interpreter",
        python.display(),
        modules.join(", ")
    );
    None
}

/// A process that answers each line on stdin with a line on stdout. Dropping this stops it.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the process. Returns `None` and prints a message if Python lacks these modules.
    ///
    /// # Errors
    ///
    /// Returns an error if the interpreter cannot be started.
    pub fn start(program: &Path, modules: &[&str]) -> Result<Option<Self>> {
        let Some(python) = with_modules(modules) else {
            return Ok(None);
        };
        let mut child = Command::new(&python)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let answers = child.stdout.take().context("the pipe was just asked for")?;
        Ok(Some(Self {
            program: program.to_owned(),
            child,
            answers: BufReader::new(answers),
        }))
    }

    /// Sends a line and returns the answer.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has exited.
    pub fn ask(&mut self, request: &str) -> Result<String> {
        let has_ended = || format!("{} has exited", self.program.display());
        let requests = self.child.stdin.as_mut().with_context(has_ended)?;
        writeln!(requests, "{request}").with_context(has_ended)?;
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .with_context(has_ended)?;
        ensure!(!answer.is_empty(), has_ended());
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // `wait` closes stdin, and the process exits at the end of its input.
        if let Err(error) = self.child.wait() {
            eprintln!("{}: {error}", self.program.display());
        }
    }
}

/// Creates a virtual environment in `directory` with the requirements of the peers, unless it exists. Returns its
/// interpreter.
///
/// # Errors
///
/// Returns an error if there is no `python3` with `venv`, or if the package index is unreachable.
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
