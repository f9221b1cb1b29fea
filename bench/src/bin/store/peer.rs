//! Python's client, in a process that executes our requests.

use std::path::Path;

use anyhow::{Context, Result};
use bench::python;

/// Python's client.
pub(crate) struct Python(python::Process);

impl Python {
    /// Starts it. Returns `None` and prints a message if Python lacks `prometheus_client`.
    pub(crate) fn start() -> Result<Option<Self>> {
        let program = python::peers().join("client.py");
        let process = python::Process::start(&program, &["prometheus_client"])?;
        Ok(process.map(Self))
    }

    /// Duration of one scrape in milliseconds.
    pub(crate) fn scrape(&mut self, directory: &Path) -> Result<f64> {
        self.ask(&format!("scrape {}", directory.display()))
    }

    /// Duration of one update in nanoseconds. Operations have the same names as in Rust.
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
