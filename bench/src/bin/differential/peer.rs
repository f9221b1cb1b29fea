//! Python's client, in a process that does what it is told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bench::python;
use serde_json::{Value, json};

use crate::script::{Kind, Metric, Script, Step};

/// Python's client.
pub(crate) struct Python(python::Process);

impl Python {
    /// `None`, with a message, if there is no Python with `prometheus_client`.
    pub(crate) fn start() -> Result<Option<Self>> {
        // The same program that the store's tests talk to.
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../common/prometheus-multiprocess/tests/multiprocess/peer.py");
        let process = python::Process::start(&program, &["prometheus_client"])?;
        Ok(process.map(Self))
    }

    /// What Python's reader says of a directory; `None` if it fails.
    pub(crate) fn scrape(&mut self, directory: &Path) -> Result<Option<String>> {
        let request = json!({"do": "try_scrape", "directory": directory});
        let answer = self.0.ask(&request.to_string())?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Does one step as the worker `identifier`.
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
    // A number is sent as text, so that infinities survive.
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

/// Where the worker of a number has its files.
pub(crate) fn identifier(worker: usize) -> String {
    format!("worker-{worker}")
}

/// All files of metrics in a directory, sorted.
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
