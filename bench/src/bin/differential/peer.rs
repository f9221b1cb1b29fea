//! Python's client, in a process that executes our requests.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bench::python;
use serde_json::{Value, json};

use crate::script::{Kind, Metric, Script, Step};

/// Python's client.
pub(crate) struct Python(python::Process);

impl Python {
    /// Starts it. Returns `None` and prints a message if Python lacks `prometheus_client`.
    pub(crate) fn start() -> Result<Option<Self>> {
        // The same program as in the store's tests.
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../common/prometheus-multiprocess/tests/multiprocess/peer.py");
        let process = python::Process::start(&program, &["prometheus_client"])?;
        Ok(process.map(Self))
    }

    /// The scrape of a directory by Python's reader. `None` if it fails.
    pub(crate) fn scrape(&mut self, directory: &Path) -> Result<Option<String>> {
        let request = json!({"do": "try_scrape", "directory": directory});
        let answer = self.0.ask(&request.to_string())?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Executes one step as the worker `identifier`.
    pub(crate) fn write(
        &mut self,
        directory: &Path,
        identifier: &str,
        script: &Script,
        steps: &[&Step],
    ) -> Result<()> {
        let metrics: Vec<Value> = steps
            .iter()
            .map(|step| as_json(&script.metrics[step.metric], step))
            .collect();
        let request = json!({
            "do": "write", "directory": directory,
            "workers": [{"identifier": identifier, "metrics": metrics}],
        });
        let answer = self.0.ask(&request.to_string())?;
        ensure!(answer == "ok", "Python cannot write: {answer:?}");
        Ok(())
    }
}

fn as_json(metric: &Metric, step: &Step) -> Value {
    // Numbers are sent as text, because JSON has no infinities.
    let numbers: Vec<String> = step
        .numbers
        .iter()
        .map(|number| format!("{number:e}"))
        .collect();
    let bounds: Vec<String> = metric
        .bounds
        .iter()
        .map(|bound| format!("{bound:e}"))
        .collect();
    let (kind, mode) = match metric.kind {
        Kind::Counter => ("counter", ""),
        Kind::Gauge(mode) => ("gauge", mode.as_str()),
        Kind::Histogram => ("histogram", ""),
        Kind::Summary => ("summary", ""),
    };
    json!({
        "type": kind, "mode": mode, "name": metric.name, "help": metric.help, "labels": metric.labels,
        "bounds": bounds, "series": [[step.values, numbers]],
    })
}

/// The identifier of a worker in file names.
pub(crate) fn identifier(worker: usize) -> String {
    format!("worker-{worker}")
}

/// All metric files in a directory, sorted.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
