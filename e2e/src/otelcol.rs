//! The real OpenTelemetry Collector, with the configurations of `deploy/`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{Program, Running, SOON, Signal, poll, process, real_part};

/// The log line that means that the Collector is ready.
const READY: &str = "Everything is ready";

/// Attempts to start, because another program may take a port that was free.
const ATTEMPTS: usize = 5;

/// Finds the Collector: `otelcol-contrib`, or the one that `deploy/otelcol` has built. If there is none, prints that the
/// test is skipped and returns `None`.
///
/// # Errors
///
/// Returns an error if it is missing and `REQUIRE_REAL_PARTS=1` is set.
pub fn executable() -> Result<Option<PathBuf>> {
    let script = deploy("otelcol");
    let output = Command::new(&script)
        .output()
        .with_context(|| format!("cannot run {}", script.display()))?;
    if output.status.success() {
        let path = String::from_utf8(output.stdout)?;
        return Ok(Some(path.trim_end().into()));
    }
    real_part::skip(String::from_utf8_lossy(&output.stderr).trim_end())?;
    Ok(None)
}

/// The path of a file in `deploy/`.
pub fn deploy(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    workspace
        .unwrap_or(Path::new(".."))
        .join("deploy")
        .join(name)
}

/// How to start a Collector. A restarted Collector uses the same addresses.
#[derive(Clone, Debug)]
pub struct Otelcol {
    executable: PathBuf,
    configurations: Vec<PathBuf>,
    variables: Vec<(String, String)>,
    ports: Ports,
}

/// The addresses of a Collector.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// `/metrics` with the sum over the workers of a service.
    pub service: SocketAddr,
    /// `/metrics` with each worker separately.
    pub workers: SocketAddr,
    /// `/metrics` with the Collector's own metrics.
    pub own: SocketAddr,
    health: SocketAddr,
}

impl Ports {
    /// Picks six free ports.
    fn free() -> Result<Self> {
        let listeners: Vec<_> = (0..6)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let port = |index: usize| listeners[index].local_addr();
        Ok(Self {
            grpc: port(0)?,
            http: port(1)?,
            service: port(2)?,
            workers: port(3)?,
            own: port(4)?,
            health: port(5)?,
        })
    }

    fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("OTLP_GRPC_ENDPOINT", self.grpc.to_string()),
            ("OTLP_HTTP_ENDPOINT", self.http.to_string()),
            ("SERVICE_ENDPOINT", self.service.to_string()),
            ("WORKERS_ENDPOINT", self.workers.to_string()),
            ("COLLECTOR_ENDPOINT", self.health.to_string()),
            ("COLLECTOR_METRICS_PORT", self.own.port().to_string()),
        ]
    }
}

impl Otelcol {
    /// A Collector with one of the configurations of `deploy/`.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub fn new(executable: &Path, configuration: &str) -> Result<Self> {
        Ok(Self {
            executable: executable.to_owned(),
            configurations: vec![deploy(configuration)],
            variables: Vec::new(),
            ports: Ports::free()?,
        })
    }

    /// Also writes the metrics of each worker, logs and traces to files, with one JSON object per line.
    ///
    /// # Errors
    ///
    /// Returns an error if `directory` cannot be written.
    pub fn with_file(mut self, directory: &Path) -> Result<Self> {
        // One exporter per pipeline: a shared one stops with the first pipeline, and then the last batch of another
        // pipeline crashes the Collector (0.120.0) with a nil pointer.
        let file = |signal: &str| {
            let path = directory.join(signal).with_extension("jsonl");
            json!({"path": path, "append": true, "flush_interval": "50ms"})
        };
        // Merging configurations replaces lists.
        let more = json!({
            "exporters": {
                "file/metrics": file("metrics"),
                "file/logs": file("logs"),
                "file/traces": file("traces"),
            },
            "service": {"pipelines": {
                "metrics/workers": {"exporters": ["prometheus/workers", "debug", "file/metrics"]},
                "logs": {"exporters": ["debug", "file/logs"]},
                "traces": {"exporters": ["debug", "file/traces"]},
            }},
        });
        let path = directory.join("with-file.yaml");
        fs::write(&path, more.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        self.configurations.push(path);
        Ok(self)
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// Its addresses.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Starts it for the first time and waits until it is ready. Picks other ports if another program took one.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not become ready.
    pub fn start(&mut self) -> Result<Running> {
        for _ in 1..ATTEMPTS {
            match self.start_again() {
                Err(error) if format!("{error:#}").contains("address already in use") => {
                    self.ports = Ports::free()?;
                }
                outcome => return outcome,
            }
        }
        self.start_again()
    }

    /// Starts it again on the same ports, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not become ready.
    pub fn start_again(&self) -> Result<Running> {
        let mut program = Program::found(&self.executable);
        for path in &self.configurations {
            program = program.option("--config", path.display());
        }
        for (name, value) in self.ports.variables() {
            program = program.env(name, value);
        }
        for (name, value) in &self.variables {
            program = program.env(name, value);
        }
        let running = program.spawn()?;
        let ready = poll("the Collector to be ready", SOON, || {
            let ready = running.console().count(|line| line.contains(READY)) > 0;
            (ready || !process::is_alive(running.pid())).then_some(ready)
        })?;
        ensure!(ready, "the Collector exited: {}", running.console());
        Ok(running)
    }
}

/// Stops a Collector, which exports its remaining data first.
///
/// # Errors
///
/// Returns an error if it does not exit, or exits with an error.
pub fn stop(mut collector: Running) -> Result<()> {
    collector.signal(Signal::SIGTERM)?;
    let status = collector.wait_exit(SOON)?;
    ensure!(status.success(), "{status}: {}", collector.console());
    Ok(())
}

/// The objects that a Collector wrote to its files.
#[derive(Debug)]
pub struct Written(Vec<Value>);

impl Written {
    /// Reads the files that [`Otelcol::with_file`] has set up. Leaves out incomplete lines.
    ///
    /// # Errors
    ///
    /// Returns an error if one cannot be read, or a line is no JSON.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut objects = Vec::new();
        for signal in ["metrics", "logs", "traces"] {
            let path = directory.join(signal).with_extension("jsonl");
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let lines = text.split_inclusive('\n');
            for line in lines.filter(|line| line.ends_with('\n')) {
                objects.push(serde_json::from_str(line).context(line.to_owned())?);
            }
        }
        Ok(Self(objects))
    }

    /// All objects at this path of keys. The path goes through all elements of arrays.
    pub fn at(&self, path: &[&str]) -> Vec<&Value> {
        let mut found: Vec<&Value> = self.0.iter().collect();
        for key in path {
            let next = found.into_iter().filter_map(|value| value[key].as_array());
            found = next.flatten().collect();
        }
        found
    }
}

/// The value of an attribute of an OTLP JSON object as text, for any type.
pub fn attribute<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    let attributes = object["attributes"].as_array()?;
    let found = attributes.iter().find(|found| found["key"] == key)?;
    found["value"].as_object()?.values().next()?.as_str()
}
