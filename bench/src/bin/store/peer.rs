//! Python's client, in a process that waits for what it has to do.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use bench::python;

/// Python's client.
pub(crate) struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, with a message, if there is no Python with `prometheus_client`.
    pub(crate) fn start() -> Result<Option<Self>> {
        let Some(python) = python::with_modules(&["prometheus_client"]) else {
            return Ok(None);
        };
        let mut child = Command::new(&python)
            .arg(python::peers().join("client.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the pipe was just asked for")?);
        Ok(Some(Self {
            child,
            requests,
            answers,
        }))
    }

    /// The milliseconds of one scrape.
    pub(crate) fn scrape(&mut self, directory: &Path) -> Result<f64> {
        self.ask(&format!("scrape {}", directory.display()))
    }

    /// The nanoseconds of one update, called as in Rust.
    pub(crate) fn update(&mut self, directory: &Path, operation: &str) -> Result<f64> {
        self.ask(&format!("{operation} {}", directory.display()))
    }

    fn ask(&mut self, request: &str) -> Result<f64> {
        let requests = self.requests.as_mut().context("Python has been stopped")?;
        writeln!(requests, "{request}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer
            .trim()
            .parse()
            .with_context(|| format!("bench/peers/client.py answered {answer:?} to {request}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.requests = None;
        if let Err(error) = self.child.wait() {
            eprintln!("bench/peers/client.py: {error}");
        }
    }
}
