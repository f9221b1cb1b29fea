//! The programs under measurement.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

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

/// The label of the scenario that records and exports every span.
pub(crate) const TRACES: &str = "traces, always_on";

/// The label of all signals with tracing-actix-web, tracing-opentelemetry,
/// opentelemetry-appender-tracing and actix-web-prom.
pub(crate) const THE_USUAL_CRATES: &str = "the usual crates";

/// What other crates make: the program in bench/rust-peers, its label, and the label of our
/// scenario that does the same.
const RUST_PEERS: [(&str, &str, &str); 4] = [
    (
        "opentelemetry_instrumentation",
        "opentelemetry-instrumentation-actix-web",
        TRACES,
    ),
    ("tracing_opentelemetry", "tracing-opentelemetry", TRACES),
    ("fastrace_opentelemetry", "fastrace", TRACES),
    ("usual_crates", THE_USUAL_CRATES, "all-signals"),
];

/// Queues that hold what a turn records, so that everything is exported and nothing dropped.
const QUEUES: [(&str, &str); 2] = [
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "100000"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "100000"),
];

/// A program under measurement.
pub(crate) struct Subject {
    /// The label of the figures.
    pub(crate) name: String,
    /// For a peer, its name and the label of the scenario that does the same.
    pub(crate) counterpart: Option<(&'static str, String)>,
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

impl Turn {
    pub(crate) fn mean(turns: &[Self]) -> Self {
        let mean =
            |figure: fn(&Self) -> f64| turns.iter().map(figure).sum::<f64>() / turns.len() as f64;
        Self {
            cpu: mean(|turn| turn.cpu),
            rate: mean(|turn| turn.rate),
        }
    }
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

    /// A program of the workspace, which exports to `receiver`.
    pub(crate) fn scenario(name: &str, receiver: SocketAddr) -> Result<Self> {
        Self::ours(name, &scenario(name, receiver))
    }

    /// The scenario `traces` with each of the samplers.
    pub(crate) fn traces(receiver: SocketAddr) -> Result<Vec<Self>> {
        let with = |(sampler, argument): (&str, &str)| {
            let program = scenario("traces", receiver)
                .env("OTEL_TRACES_SAMPLER", sampler)
                .env("OTEL_TRACES_SAMPLER_ARG", argument);
            Self::ours(format!("traces, {sampler} {argument}").trim_end(), &program)
        };
        SAMPLERS.into_iter().map(with).collect()
    }

    fn ours(name: &str, program: &Program) -> Result<Self> {
        eprintln!("building and starting {name}");
        Self::started(name, program.clone().profile("release").start()?)
    }

    fn started(name: &str, running: Running) -> Result<Self> {
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

    /// Builds and starts the programs that other crates make, which export to `receiver`.
    pub(crate) fn rust_peers(receiver: SocketAddr) -> Result<Vec<Self>> {
        let programs = rust_peers()?;
        let start = |(program, name, scenario): (&str, &'static str, &str)| {
            let program = exporting(Program::found(programs.join(program)), receiver);
            Ok(Self {
                counterpart: Some((name, scenario.to_owned())),
                ..Self::started(name, program.start()?)?
            })
        };
        RUST_PEERS.into_iter().map(start).collect()
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
            .env("SCENARIO", scenario);
        program = exporting(program, receiver);
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
            counterpart: Some((
                "Flask + gunicorn",
                match scenario {
                    "traces" => TRACES.to_owned(),
                    other => other.to_owned(),
                },
            )),
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
        let cpu = self.settled()? - before;
        Ok(Turn {
            cpu: cpu.as_secs_f64() * 1e6 / requests as f64,
            rate: report.rate(),
        })
    }

    /// The CPU time of the process when it has exported what the turn left in its queues: when it
    /// uses less than a fiftieth of a processor, or after two seconds.
    fn settled(&self) -> Result<Duration> {
        const STEP: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut before = process::cpu_time(self.pid)?;
        loop {
            sleep(STEP);
            let now = process::cpu_time(self.pid)?;
            if now - before < STEP / 50 || Instant::now() > deadline {
                return Ok(now);
            }
            before = now;
        }
    }
}

fn scenario(name: &str, receiver: SocketAddr) -> Program {
    exporting(one_worker(Program::new(name)), receiver).env("ERROR_RATE", "0")
}

fn exporting(program: Program, receiver: SocketAddr) -> Program {
    let program = program
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{receiver}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("NO_PROXY", "127.0.0.1");
    let with = |program: Program, (name, value)| program.env(name, value);
    QUEUES.into_iter().fold(program, with)
}

fn one_worker(program: Program) -> Program {
    program
        .env("WEB_CONCURRENCY", "1")
        .env("WORKER_THREADS", "1")
        .env("RUST_LOG", "warn")
}

/// Builds what is in bench/rust-peers, and returns the directory with its programs.
fn rust_peers() -> Result<PathBuf> {
    eprintln!("building the programs of other crates");
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = bench.with_file_name("target").join("rust-peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--target-dir"])
        .arg(&target)
        .current_dir(bench.join("rust-peers"))
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "cannot build bench/rust-peers");
    Ok(target.join("release"))
}
