//! The faults of docs/incidents: each test causes one, sees the symptom in the live view, and finds the cause in metrics,
//! traces and logs.
//!
//! With `SCREENSHOTS=1` the tests write the images of the pages.

mod requests;
mod telemetry;
mod workers;

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Program, Running, SOON,
    http::{self, Connection},
    poll,
};
use serde_json::{Value, json};

use crate::{
    live_view::{self, browser::Browser, takes_images},
    workspace,
};

/// Largest image of a page, in bytes.
const MAX_IMAGE: usize = 60 * 1024;

/// The program of all incidents, without simulated errors. It exports several times a second.
fn demo() -> Program {
    with_demo(Program::new("all-signals"))
}

fn with_demo(program: Program) -> Program {
    program
        .env("PORT", "0")
        .arg("--demo")
        .env("ERROR_RATE", "0")
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
}

/// The same with `/metrics` on a port of the master.
fn scraped() -> Program {
    demo()
        .option("--metrics", "pull")
        .option("--metrics-port", 0)
}

/// A service that calls a path of another one, and that other one, which exports nothing.
fn with_dependency(path: &str) -> Result<(Incident, Running)> {
    let dependency = demo().env("OTEL_SDK_DISABLED", "true").start()?;
    let url = format!("http://{}{path}", dependency.addr()?);
    let incident = Incident::start(&demo().env("CHAIN_URL", url))?;
    Ok((incident, dependency))
}

/// A service and its live view.
struct Incident {
    service: Running,
    view: SocketAddr,
}

impl Incident {
    /// Starts a service and waits until the live view shows its workers.
    fn start(program: &Program) -> Result<Self> {
        let (service, url) = live_view::start(program)?;
        let view = url.trim_start_matches("http://").parse()?;
        let incident = Self { service, view };
        let workers = incident.service.ready()?.serving().len();
        incident.wait_for("/api/workers", |found| {
            let serving = list(&found["workers"]).filter(|worker| worker["state"] == "serving");
            (serving.count() == workers).then_some(())
        })?;
        Ok(incident)
    }

    /// Sends a request on a connection of its own. Returns the status.
    fn get(&self, path: &str) -> Result<u16> {
        Ok(http::get(self.service.addr()?, path)?.status)
    }

    /// Sends requests on one connection. Each must be answered with 200.
    fn get_on_one_connection(&self, path: &str, requests: usize) -> Result<()> {
        let mut connection = Connection::open(self.service.addr()?)?;
        for _ in 0..requests {
            connection.send_get(path)?;
            let response = connection.receive()?;
            ensure!(response.status == 200, "{response:?}");
        }
        Ok(())
    }

    /// Waits until a document of the live view has something.
    fn wait_for<T>(&self, path: &str, found: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let mut last = String::new();
        let waited = poll(path, SOON, || {
            last = http::get(self.view, path).ok()?.body;
            found(&serde_json::from_str(&last).ok()?)
        });
        waited.with_context(|| last)
    }

    /// Waits for a worker in this state. Returns its process id.
    fn worker(&self, state: &str) -> Result<String> {
        self.wait_for("/api/workers", |found| {
            let worker = list(&found["workers"]).find(|worker| worker["state"] == state)?;
            Some(worker["pid"].as_str()?.to_owned())
        })
    }

    /// Waits until the live view says that something has happened to the workers.
    fn wait_for_event(&self, text: &str) -> Result<()> {
        self.wait_for("/api/workers", |found| {
            list(&found["events"])
                .any(|event| {
                    event["text"]
                        .as_str()
                        .is_some_and(|said| said.contains(text))
                })
                .then_some(())
        })
    }

    /// The path of a trace in the live view, and its spans, the first one first. Waits until all of them have arrived.
    fn trace(&self, name: &str, spans: usize) -> Result<(String, Vec<Value>)> {
        let id = self.wait_for("/api/traces", |rows| {
            let row = list(rows).find(|row| row["name"] == name && row["spans"] == spans)?;
            Some(row["trace_id"].as_str()?.to_owned())
        })?;
        let spans = self.wait_for(&format!("/api/traces/{id}"), |trace| {
            trace["steps"].as_array().cloned()
        })?;
        Ok((format!("/?trace={id}"), spans))
    }

    /// Waits until the live view has this number of log records with a text. Returns the process ids.
    fn logs(&self, body: &str, count: usize) -> Result<Vec<String>> {
        self.wait_for("/api/logs", |logs| {
            let found = list(logs).filter(|log| log["body"] == body);
            let pids = found.filter_map(|log| Some(log["pid"].as_str()?.to_owned()));
            let pids: Vec<_> = pids.collect();
            (pids.len() == count).then_some(pids)
        })
    }

    /// The values of all series that begin like this, the smallest first.
    fn scrape(&self, series: &str) -> Result<Vec<f64>> {
        let url = self.service.ready()?.parts.get("metrics");
        let address = match url {
            Some(url) => url
                .trim_start_matches("http://")
                .trim_end_matches("/metrics")
                .parse()?,
            None => self.service.addr()?,
        };
        let text = http::get(address, "/metrics")?.body;
        let lines = text.lines().filter(|line| line.starts_with(series));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Ok(values)
    }

    /// Waits until the series that begin like this have these values, the smallest first.
    fn wait_for_series(&self, series: &str, values: &[f64]) -> Result<()> {
        let waited = poll("the series", SOON, || {
            (self.scrape(series).ok()? == values).then_some(())
        });
        waited.with_context(|| format!("{series}: {:?}", self.scrape(series)))
    }

    fn take_image(&self, page: &str, path: &str, from: &str, height: u64) -> Result<()> {
        take_image(self.view, page, path, from, height)
    }
}

/// With `SCREENSHOTS=1` takes the image of a page: what a live view shows from an element on.
fn take_image(view: SocketAddr, page: &str, path: &str, from: &str, height: u64) -> Result<()> {
    if !takes_images() {
        return Ok(());
    }
    let browser = Browser::start()?.context("no browser")?;
    browser.open(&format!("http://{view}{path}"))?;
    browser.wait_for_text("#live", "live")?;
    browser.emulate("light", 1_080, height)?;
    let element = format!("document.querySelector({})", json!(from));
    browser.wait_for(&element)?;
    browser
        .eval("document.querySelectorAll('#metrics details').forEach(part => part.open = true)")?;
    browser.eval(&format!("{element}.scrollIntoView()"))?;
    let image = browser.image()?;
    ensure!(image.len() < MAX_IMAGE, "{page}: {} bytes", image.len());
    let file = workspace::root().join(format!("docs/incidents/{page}.webp"));
    Ok(fs::write(file, image)?)
}

/// The elements of a JSON array.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
