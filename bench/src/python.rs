//! The Python that the peers run on.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
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

/// A program that answers line by line what it is asked line by line. It is gone when this is dropped.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it; gives `None`, with a message, if there is no Python with these modules.
    ///
    /// # Errors
    ///
    /// When the interpreter cannot be started.
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

    /// Its answer to a line.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn ask(&mut self, request: &str) -> Result<String> {
        let has_ended = || format!("{} has ended", self.program.display());
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
        // Waiting closes its input, at whose end it ends.
        if let Err(error) = self.child.wait() {
            eprintln!("{}: {error}", self.program.display());
        }
    }
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
