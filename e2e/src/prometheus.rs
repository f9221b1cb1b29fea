//! The real Prometheus, and its `promtool`.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    http,
    poll::{SOON, poll},
    real_part::real_part,
    temporary::Temporary,
};

const HOW_TO_GET: &str = "Debian: apt-get install prometheus";

/// Attempts to start, because another program may take a port that was free.
const ATTEMPTS: usize = 5;

/// The labels of a series. `__name__` is its name.
pub type Labels = BTreeMap<String, String>;

/// A running Prometheus that scrapes several times a second.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    addr: SocketAddr,
    /// Contains its configuration and its data.
    _directory: Temporary,
}

impl Prometheus {
    /// Starts Prometheus with these targets. If it is not installed, prints that the test is skipped and returns `None`.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not become ready, or if it is missing and `REQUIRE_REAL_PARTS=1` is set.
    pub fn start(targets: &[SocketAddr]) -> Result<Option<Self>> {
        Self::configured(&configuration(targets))
    }

    /// Like [`Prometheus::start`], with a complete configuration file instead of targets.
    ///
    /// # Errors
    ///
    /// Those of [`Prometheus::start`].
    pub fn configured(configuration: &str) -> Result<Option<Self>> {
        let Some(executable) = real_part("prometheus", HOW_TO_GET)? else {
            return Ok(None);
        };
        for _ in 0..ATTEMPTS {
            let mut prometheus = Self::spawn(&executable, configuration)?;
            if prometheus.wait_ready()? {
                return Ok(Some(prometheus));
            }
        }
        bail!("Prometheus exited {ATTEMPTS} times before it was ready")
    }

    fn spawn(executable: &Path, configuration: &str) -> Result<Self> {
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
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start Prometheus")?;
        Ok(Self {
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
        let body = http::get_until_close(self.addr, &path)?;
        let mut answer: Value = serde_json::from_str(&body).context(body)?;
        match answer["data"]["result"].take() {
            Value::Array(result) => Ok(result),
            _ => bail!("{expression}: {answer}"),
        }
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
        .with_context(|| format!("it is {:?}", self.value(expression)))
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

/// Runs `promtool check metrics` and returns its complaints, which are empty for a valid exposition. If promtool is not
/// installed, prints that the test is skipped and returns `None`.
///
/// # Errors
///
/// Returns an error if it cannot be run, or if it is missing and `REQUIRE_REAL_PARTS=1` is set.
pub fn complaints(exposition: &str) -> Result<Option<String>> {
    let Some(executable) = real_part("promtool", HOW_TO_GET)? else {
        return Ok(None);
    };
    let mut promtool = Command::new(executable)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start promtool")?;
    let mut stdin = promtool.stdin.take().context("promtool has no stdin")?;
    // It reads everything before it prints. If it exits early, its output says why.
    let _ = stdin.write_all(exposition.as_bytes());
    drop(stdin);
    let output = promtool.wait_with_output()?;
    let words = [output.stdout, output.stderr].concat();
    let mut words = String::from_utf8_lossy(&words).into_owned();
    if !output.status.success() && words.is_empty() {
        words = output.status.to_string();
    }
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtool_complains_only_about_invalid_metrics() {
        let good = "# HELP a_total A\n# TYPE a_total counter\na_total 1\n";
        if let Some(words) = complaints(good).unwrap() {
            assert_eq!(words, "");
            for bad in ["a_total 1\n", "a{1=\"\"} 1\n"] {
                assert!(!complaints(bad).unwrap().unwrap().is_empty(), "{bad}");
            }
        }
    }
}
