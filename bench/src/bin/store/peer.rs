//! Python's client, in a process that waits for what it has to do.

use std::path::Path;

use anyhow::{Context, Result};
use bench::python;

/// Python's client.
pub(crate) struct Python(python::Process);

impl Python {
    /// `None`, with a message, if there is no Python with `prometheus_client`.
    pub(crate) fn start() -> Result<Option<Self>> {
        let program = python::peers().join("client.py");
        let process = python::Process::start(&program, &["prometheus_client"])?;
        Ok(process.map(Self))
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
        let answer = self.0.ask(request)?;
        answer
            .parse()
            .with_context(|| format!("bench/peers/client.py answered {answer:?} to {request}"))
    }
}
