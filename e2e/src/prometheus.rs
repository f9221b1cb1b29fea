//! The real Prometheus.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    http,
    poll::{SOON, poll},
    real_part::{real_part, skip},
    temporary::Temporary,
};

/// Attempts to start, because another program may take a port that was free.
const ATTEMPTS: usize = 5;

/// The labels of a series. `__name__` is its name.
pub type Labels = BTreeMap<String, String>;

/// A program of each release that is installed: the oldest that we support, on `PATH`, and the newest, which
/// `.ci/prometheus` builds. For one that is missing, prints that tests with it are skipped.
///
/// # Errors
///
/// Returns an error if one is missing and `REQUIRE_REAL_PARTS=1` is set.
pub fn executables(name: &str) -> Result<Vec<PathBuf>> {
    let oldest = real_part(name, "Debian: apt-get install prometheus")?;
    Ok(oldest.into_iter().chain(newest(name)?).collect())
}

/// The newest release that the tests use. If it is not built, prints that tests with it are skipped.
///
/// # Errors
///
/// Returns an error if it is missing and `REQUIRE_REAL_PARTS=1` is set.
pub fn newest(name: &str) -> Result<Option<PathBuf>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/prometheus");
    let output = Command::new(script).output().context(script)?;
    if output.status.success() {
        let directory = String::from_utf8(output.stdout)?;
        return Ok(Some(Path::new(directory.trim_end()).join(name)));
    }
    skip(String::from_utf8_lossy(&output.stderr).trim_end())?;
    Ok(None)
}

/// A running Prometheus that scrapes several times a second.
#[derive(Debug)]
pub struct Prometheus {
    executable: PathBuf,
    child: Child,
    addr: SocketAddr,
    /// Contains its configuration and its data.
    _directory: Temporary,
}

impl Prometheus {
    /// Starts each release that is installed with these targets; see [`executables`].
    ///
    /// # Errors
    ///
    /// Returns an error if one does not become ready, or if one is missing and `REQUIRE_REAL_PARTS=1` is set.
    pub fn start_each(targets: &[SocketAddr]) -> Result<Vec<Self>> {
        Self::configure_each(&configuration(targets))
    }

    /// Like [`Prometheus::start_each`], with a complete configuration file instead of targets.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::start_each`].
    pub fn configure_each(configuration: &str) -> Result<Vec<Self>> {
        let executables = executables("prometheus")?;
        let start = |executable: &PathBuf| Self::start(executable, configuration, &[]);
        executables.iter().map(start).collect()
    }

    /// Starts the newest release with a configuration file and further arguments. If it is not built, prints that the
    /// test is skipped and returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::start_each`].
    pub fn start_newest(configuration: &str, arguments: &[&str]) -> Result<Option<Self>> {
        let executable = newest("prometheus")?;
        let start = |executable: PathBuf| Self::start(&executable, configuration, arguments);
        executable.map(start).transpose()
    }

    fn start(executable: &Path, configuration: &str, arguments: &[&str]) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut prometheus = Self::spawn(executable, configuration, arguments)?;
            if prometheus.wait_ready()? {
                return Ok(prometheus);
            }
        }
        bail!(
            "{} exited {ATTEMPTS} times before it was ready",
            executable.display()
        )
    }

    fn spawn(executable: &Path, configuration: &str, arguments: &[&str]) -> Result<Self> {
        let directory = Temporary::new("prometheus")?;
        let config = directory.path().join("prometheus.yml");
        fs::write(&config, configuration)?;
        // It can listen on port 0, but does not print the actual port.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let child = Command::new(executable)
            .arg(option("config.file", &config))
            .arg(option("storage.tsdb.path", &directory.path().join("data")))
            .arg(format!("--web.listen-address={addr}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start Prometheus")?;
        Ok(Self {
            executable: executable.to_owned(),
            child,
            addr,
            _directory: directory,
        })
    }

    /// Waits until it is ready. Returns false if it exits first.
    fn wait_ready(&mut self) -> Result<bool> {
        poll("Prometheus to be ready", SOON, || {
            match self.child.try_wait() {
                Ok(None) => {}
                ended => return Some(ended.map(|_| false)),
            }
            let ready = http::get(self.addr, "/-/ready").is_ok_and(|found| found.status == 200);
            ready.then_some(Ok(true))
        })?
        .context("cannot check whether Prometheus has exited")
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Evaluates a PromQL expression, and returns the value of each series by its labels.
    ///
    /// # Errors
    ///
    /// Returns an error if the expression is invalid or not an instant vector.
    pub fn query(&self, expression: &str) -> Result<BTreeMap<Labels, f64>> {
        let result = self.evaluate(expression)?;
        let series = result.iter().map(|series| {
            let value = series["value"][1].as_str().context("there is no value")?;
            Ok((labels(series)?, value.parse()?))
        });
        series.collect::<Result<_>>().context(expression.to_owned())
    }

    /// The scraped samples of a range such as `up[5m]`, oldest first, by the labels of each series.
    ///
    /// # Errors
    ///
    /// Returns an error if the expression is invalid or not a range.
    pub fn samples(&self, range: &str) -> Result<BTreeMap<Labels, Vec<f64>>> {
        let result = self.evaluate(range)?;
        let series = result.iter().map(|series| {
            let values = series["values"].as_array().context("there is no range")?;
            let values = values.iter().map(|sample| {
                let value = sample[1].as_str().context("there is no value")?;
                Ok(value.parse()?)
            });
            Ok((labels(series)?, values.collect::<Result<_>>()?))
        });
        series.collect::<Result<_>>().context(range.to_owned())
    }

    fn evaluate(&self, expression: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", percent_encode(expression));
        match self.get(&path)?["result"].take() {
            Value::Array(result) => Ok(result),
            _ => bail!("{expression} has no value"),
        }
    }

    /// The exemplars of the series that a selector matches, as its HTTP API has them.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::get`].
    pub fn exemplars(&self, selector: &str) -> Result<Value> {
        let query = percent_encode(selector);
        self.get(&format!(
            "/api/v1/query_exemplars?query={query}&start=0&end=9999999999"
        ))
    }

    /// The data of an answer of its HTTP API.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not answer, or refuses the request.
    pub fn get(&self, path: &str) -> Result<Value> {
        let body = http::get_until_close(self.addr, path)?;
        let mut answer: Value = serde_json::from_str(&body).context(body)?;
        ensure!(answer["status"] == "success", "{path}: {answer}");
        Ok(answer["data"].take())
    }

    /// Its version, such as `3.16.0`.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::get`].
    pub fn version(&self) -> Result<String> {
        let info = self.get("/api/v1/status/buildinfo")?;
        Ok(info["version"].as_str().context("no version")?.to_owned())
    }

    /// The value of an expression with at most one series.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::query`], and an error if there are several series.
    pub fn value(&self, expression: &str) -> Result<Option<f64>> {
        let series = self.query(expression)?;
        ensure!(series.len() <= 1, "{expression} has {series:?}");
        Ok(series.into_values().next())
    }

    /// Waits until an expression has this value.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed. The error names the last value.
    pub fn wait_for(&self, expression: &str, expected: f64, within: Duration) -> Result<()> {
        poll(&format!("{expression} to be {expected}"), within, || {
            (self.value(expression).ok()? == Some(expected)).then_some(())
        })
        .with_context(|| {
            let value = self.value(expression);
            format!("it is {value:?} in {}", self.executable.display())
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An error means that it has exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(targets: &[SocketAddr]) -> String {
    format!(
        "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n\
         scrape_configs:\n  - job_name: e2e\n    static_configs:\n      - targets: {:?}\n",
        targets.iter().map(ToString::to_string).collect::<Vec<_>>()
    )
}

fn labels(series: &Value) -> Result<Labels> {
    Ok(serde_json::from_value(series["metric"].clone())?)
}

fn percent_encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
