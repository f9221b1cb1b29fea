//! The programs under measurement.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail, ensure};
use bench::python;
use e2e::{Load, Program, Running, SOON, Temporary, poll, process};

/// Samplers for `traces`, with their arguments. The sampler determines the cost of tracing.
const SAMPLERS: [(&str, &str); 3] = [
    ("always_on", ""),
    ("parentbased_traceidratio", "0.1"),
    ("always_off", ""),
];

/// The label of [`Subject::harness_alone`].
pub(crate) const HARNESS_ALONE: &str = "actix-prefork alone";

/// A program under measurement.
pub(crate) struct Subject {
    /// The label of the figures.
    pub(crate) name: String,
    /// For a Flask application, the label of the scenario that it is compared with.
    pub(crate) counterpart: Option<String>,
    /// The results of the rounds so far.
    pub(crate) turns: Vec<Turn>,
    running: Running,
    addr: SocketAddr,
    /// The serving process.
    pid: u32,
    /// Divides the number of requests.
    part: u64,
    /// The directory of Python's metric files.
    _directory: Option<Temporary>,
}

/// One program's part of a round.
pub(crate) struct Turn {
    /// CPU time per request in microseconds.
    pub(crate) cpu: f64,
    /// Requests per second.
    pub(crate) rate: f64,
}

impl Subject {
    /// actix-web on one thread, without telemetry.
    pub(crate) fn bare() -> Result<Self> {
        Self::ours("bare", &Program::bin("bench", "bare"))
    }

    /// A worker with one thread, without telemetry.
    pub(crate) fn harness_alone() -> Result<Self> {
        let program = Program::example("actix-prefork", "hello");
        Self::ours(HARNESS_ALONE, &one_worker(program))
    }

    /// Only actix-web-prom, the middleware of metrics-single-process-pull.
    pub(crate) fn middleware_alone() -> Result<Self> {
        let program = Program::bin("bench", "actix_web_prom");
        Self::ours("actix-web-prom alone", &program)
    }

    /// A program of the workspace.
    pub(crate) fn scenario(name: &str) -> Result<Self> {
        Self::ours(name, &scenario(name))
    }

    /// The scenario `traces` with each of the samplers.
    pub(crate) fn traces() -> Result<Vec<Self>> {
        let with = |(sampler, argument): (&str, &str)| {
            let program = scenario("traces")
                .env("OTEL_TRACES_SAMPLER", sampler)
                .env("OTEL_TRACES_SAMPLER_ARG", argument);
            Self::ours(format!("traces, {sampler} {argument}").trim_end(), &program)
        };
        SAMPLERS.into_iter().map(with).collect()
    }

    fn ours(name: &str, program: &Program) -> Result<Self> {
        eprintln!("building and starting {name}");
        let running = program.clone().profile("release").start()?;
        let serving = running.ready()?.serving();
        let [pid] = serving[..] else {
            bail!("{name} serves from the processes {serving:?}, expected one process");
        };
        let addr = running.addr()?;
        Ok(Self {
            name: name.to_owned(),
            counterpart: None,
            turns: Vec::new(),
            running,
            addr,
            pid,
            part: 1,
            _directory: None,
        })
    }

    /// The Flask counterpart of `scenario`, in one process of gunicorn. It pushes to `receiver`.
    pub(crate) fn flask(python: &Path, scenario: &str, receiver: SocketAddr) -> Result<Self> {
        eprintln!("starting the Flask counterpart of {scenario}");
        let mut program = Program::found(python)
            .arg("-m")
            .arg("gunicorn")
            .option("--workers", 1)
            .option("--worker-class", "gthread")
            .option("--threads", 4)
            .option("--bind", "127.0.0.1:0")
            .option("--chdir", python::peers().display())
            .arg("--no-control-socket")
            .arg("flask_app:app")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{receiver}"))
            .env("NO_PROXY", "127.0.0.1")
            .env("SCENARIO", scenario);
        let mut directory = None;
        if scenario == "metrics-multi-process-pull" {
            let path = directory
                .insert(Temporary::in_memory("python-client")?)
                .path();
            program = program.env("PROMETHEUS_MULTIPROC_DIR", path);
        }
        let running = program.spawn()?;
        let line = running.wait_for_line(|line| line.contains("Listening at: http://"), SOON)?;
        let addr = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let addr = addr
            .and_then(|addr| addr.parse().ok())
            .with_context(|| format!("gunicorn's line names no address: {line}"))?;
        let pid = poll("gunicorn's worker", SOON, || {
            running.workers().first().copied()
        })?;
        Ok(Self {
            name: format!("Flask + gunicorn, {scenario}"),
            // Python's SDK samples everything by default.
            counterpart: Some(match scenario {
                "traces" => "traces, always_on".to_owned(),
                other => other.to_owned(),
            }),
            turns: Vec::new(),
            running,
            addr,
            pid,
            part: 40,
            _directory: directory,
        })
    }

    /// Sends requests and records their cost.
    pub(crate) fn measure(&self, clients: usize, keep_alive: bool, requests: u64) -> Result<Turn> {
        let requests = (requests / self.part).max(1);
        let before = process::cpu_time(self.pid)?;
        let report = Load::on(self.addr)
            .clients(clients)
            .keep_alive(keep_alive)
            .requests(requests)
            .run()?;
        let answered = report.statuses.get(&200).copied().unwrap_or_default();
        ensure!(
            answered == requests,
            "{}: {report}{}",
            self.name,
            self.running.console()
        );
        let cpu = process::cpu_time(self.pid)? - before;
        Ok(Turn {
            cpu: cpu.as_secs_f64() * 1e6 / requests as f64,
            rate: report.rate(),
        })
    }
}

fn scenario(name: &str) -> Program {
    one_worker(Program::new(name)).env("ERROR_RATE", "0")
}

fn one_worker(program: Program) -> Program {
    program
        .env("WEB_CONCURRENCY", "1")
        .env("WORKER_THREADS", "1")
        .env("RUST_LOG", "warn")
}
