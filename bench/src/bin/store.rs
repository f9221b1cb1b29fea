//! The metric store beside the `prometheus` crate in memory and, if there is one, Python's
//! `prometheus_client` on the same directories.
//!
//!     cargo run --release -p bench --bin store [-- --rounds N]
//!
//! Python is `python3`, or what `PYTHON` names; it needs `prometheus-client`
//! (`e2e/requirements.txt`). Ours and the peer take turns, round by round; a figure is the median
//! of the rounds, and its ratio that of the medians. The directories are in `/dev/shm`.

use std::{
    fs,
    hint::black_box,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};
use common::multiprocess::{MultiProcessCollector, Store};
use prometheus::{CounterVec, Encoder, HistogramOpts, Opts, Registry, TextEncoder};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const LABELS: [&str; 2] = ["method", "path"];

fn main() -> anyhow::Result<()> {
    let rounds = rounds()?;
    let root = Root::create()?;
    let mut python = Python::start()?;
    println!("{rounds} rounds; what to reach stands in the last column\n");
    println!(
        "| {:<44} | {:>10} | {:<24} | {:>10} | {:>13} | {:<9} |",
        "", "ours", "peer", "its figure", "ratio", "to reach"
    );
    println!(
        "|{:-<46}|{:->12}|{:-<26}|{:->12}|{:->15}|{:-<11}|",
        "", "", "", "", "", ""
    );
    scrapes(&root, python.as_mut(), rounds)?;
    deaths(&root, python.as_mut(), rounds)?;
    updates(&root, rounds)?;
    lookups(&root, rounds)
}

fn rounds() -> anyhow::Result<usize> {
    match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => Ok(15),
        [flag, rounds] if flag == "--rounds" => {
            let rounds = rounds.parse().ok().filter(|&rounds| rounds > 0);
            rounds.context("--rounds: not a positive number")
        }
        _ => bail!("usage: store [--rounds N]"),
    }
}

// Scrapes.

fn scrapes(root: &Root, mut python: Option<&mut Python>, rounds: usize) -> anyhow::Result<()> {
    let registry = counters_in_memory(10_000)?;
    let in_memory = || {
        let mut out = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut out)
            .map(|()| out)
    };
    for (workers, goal) in [(8, "1/200"), (32, "1/180")] {
        let directory = root.counters(workers, 10_000)?;
        let collector = MultiProcessCollector::new(&directory)?;
        let name = format!("scrape, {workers} x 10,000 counters, warm");
        let mut ours = || scrape(&collector);
        if let Some(python) = python.as_deref_mut() {
            compare(&name, "ms", goal, "Python", rounds, &mut ours, || {
                python.scrape(&directory)
            })?;
        }
        if workers == 8 {
            let peer = "prometheus, 1 x 10,000";
            compare(&name, "ms", "1/5", peer, rounds, &mut ours, || {
                timed(in_memory)
            })?;
            let name = format!("first scrape, {workers} x 10,000 counters");
            let first = || {
                let collector = MultiProcessCollector::new(&directory)?;
                timed(|| collector.encode_text(&mut String::new()))
            };
            compare(&name, "ms", "1", peer, rounds, first, || timed(in_memory))?;
        }
    }
    if let Some(python) = python {
        let directory = root.histograms(8, 1_000)?;
        let collector = MultiProcessCollector::new(&directory)?;
        let name = "scrape, 8 x 1,000 histograms of 11 bounds";
        compare(
            name,
            "ms",
            "1/200",
            "Python",
            rounds,
            || scrape(&collector),
            || python.scrape(&directory),
        )?;
        let directory = root.python_counters(8, 10_000)?;
        let collector = MultiProcessCollector::new(&directory)?;
        let name = "scrape, 8 x 10,000 that Python wrote, warm";
        compare(
            name,
            "ms",
            "",
            "Python",
            rounds,
            || scrape(&collector),
            || python.scrape(&directory),
        )?;
    }
    Ok(())
}

/// Workers that end one after the other leave no more than the first one did.
fn deaths(root: &Root, python: Option<&mut Python>, rounds: usize) -> anyhow::Result<()> {
    let before = root.counters(8, 100)?;
    let (files, bytes) = size(&before)?;
    let after = root.path.join("deaths");
    fs::create_dir(&after)?;
    for _ in 0..125 {
        fill_counters(&after, 8, 100)?;
    }
    let (files_after, bytes_after) = size(&after)?;
    println!(
        "{files} files of {bytes} bytes before 1,000 deaths, {files_after} files of {bytes_after} bytes after"
    );
    let (before, collector) = (
        MultiProcessCollector::new(&before)?,
        MultiProcessCollector::new(&after)?,
    );
    let name = "scrape, 8 x 100, after 1,000 worker deaths";
    compare(
        name,
        "ms",
        "1",
        "ours, before",
        rounds,
        || scrape(&collector),
        || scrape(&before),
    )?;
    if let Some(python) = python {
        let theirs = root.python_counters(1_000, 100)?;
        compare(
            name,
            "ms",
            "",
            "Python",
            rounds,
            || scrape(&collector),
            || python.scrape(&theirs),
        )?;
    }
    Ok(())
}

/// Milliseconds of a scrape; the mean of several, so that what ran before does not count.
fn scrape(collector: &MultiProcessCollector) -> anyhow::Result<f64> {
    const TIMES: u32 = 10;
    let mut text = String::new();
    let all = timed(|| {
        (0..TIMES).try_for_each(|_| {
            text.clear();
            collector.encode_text(&mut text)
        })
    })?;
    Ok(all / f64::from(TIMES))
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> anyhow::Result<f64>
where
    anyhow::Error: From<E>,
{
    let start = Instant::now();
    let result = black_box(work()?);
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    drop(result);
    Ok(elapsed)
}

// Updates.

fn updates(root: &Root, rounds: usize) -> anyhow::Result<()> {
    let store = Store::open(root.directory("updates")?)?;
    let ours = store.counter(Opts::new("counter", "A counter"))?;
    let theirs = prometheus::Counter::new("counter", "A counter")?;
    compare_operations("counter.inc", "1.1", rounds, || ours.inc(), || theirs.inc())?;
    let ours = store.gauge(Opts::new("gauge", "A gauge"))?;
    let theirs = prometheus::Gauge::new("gauge", "A gauge")?;
    let (set_ours, set_theirs) = (|| ours.set(black_box(2.0)), || theirs.set(black_box(2.0)));
    compare_operations("gauge.set", "2", rounds, set_ours, set_theirs)?;
    let ours = store.histogram(HistogramOpts::new("histogram", "A histogram"))?;
    let theirs = prometheus::Histogram::with_opts(HistogramOpts::new("histogram", "A histogram"))?;
    let (observe_ours, observe_theirs) = (
        || ours.observe(black_box(0.2)),
        || theirs.observe(black_box(0.2)),
    );
    compare_operations(
        "histogram.observe, 11 bounds",
        "1.1",
        rounds,
        observe_ours,
        observe_theirs,
    )
}

fn lookups(root: &Root, rounds: usize) -> anyhow::Result<()> {
    let store = Store::open(root.directory("lookups")?)?.with_series_limit(20_000);
    let ours = store.counter_vec(Opts::new("lookups", "Lookups"), &LABELS)?;
    let theirs = CounterVec::new(Opts::new("lookups", "Lookups"), &LABELS)?;
    let values = [black_box("GET"), black_box("/api/v1/resource/000000")];
    let look_ours = || ours.with_label_values(&values).inc();
    let look_theirs = || theirs.with_label_values(&values).inc();
    compare_operations(
        "with_label_values(2) + inc",
        "1.0",
        rounds,
        look_ours,
        look_theirs,
    )?;
    let two = |look: &(dyn Fn() + Sync)| -> anyhow::Result<f64> {
        let nanoseconds = std::thread::scope(|scope| {
            let other = scope.spawn(|| per_operation(look));
            let own = per_operation(look);
            // A panic in the thread is a bug in this program; it was printed there.
            other.join().map_or(own, |other| own.max(other))
        });
        Ok(nanoseconds)
    };
    let name = "with_label_values(2) + inc, two threads";
    compare(
        name,
        "ns",
        "<100 ns",
        "prometheus",
        rounds,
        || two(&look_ours),
        || two(&look_theirs),
    )?;
    let paths: Vec<String> = (0..10_000).map(path_of).collect();
    for (index, path) in paths.iter().enumerate() {
        ours.with_label_values(&[METHODS[index % 4], path]).inc();
        theirs.with_label_values(&[METHODS[index % 4], path]).inc();
    }
    const PASSES: usize = 20;
    let rotate = |look: &dyn Fn(&[&str; 2])| {
        let start = Instant::now();
        for _ in 0..PASSES {
            for (index, path) in paths.iter().enumerate() {
                look(&[METHODS[index % 4], path]);
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e9 / (PASSES * paths.len()) as f64)
    };
    let name = "the same, 10,000 series in rotation";
    let look_ours = |values: &[&str; 2]| ours.with_label_values(values).inc();
    let look_theirs = |values: &[&str; 2]| theirs.with_label_values(values).inc();
    compare(
        name,
        "ns",
        "1.0",
        "prometheus",
        rounds,
        || rotate(&look_ours),
        || rotate(&look_theirs),
    )
}

fn compare_operations(
    name: &str,
    goal: &str,
    rounds: usize,
    ours: impl Fn(),
    theirs: impl Fn(),
) -> anyhow::Result<()> {
    let theirs = || Ok(per_operation(&theirs));
    compare(
        name,
        "ns",
        goal,
        "prometheus",
        rounds,
        || Ok(per_operation(&ours)),
        theirs,
    )
}

/// Nanoseconds of one operation.
fn per_operation(operation: impl Fn()) -> f64 {
    const TIMES: u32 = 1_000_000;
    let start = Instant::now();
    for _ in 0..TIMES {
        operation();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// Lets both take turns, and prints a row.
fn compare(
    name: &str,
    unit: &str,
    goal: &str,
    peer: &str,
    rounds: usize,
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut theirs: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<()> {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    ours()?;
    theirs()?;
    for _ in 0..rounds {
        own.push(ours()?);
        other.push(theirs()?);
    }
    let (own, other) = (median(own), median(other));
    let ratio = match own / other {
        ratio if ratio < 0.1 => format!("1/{:.0}", 1.0 / ratio),
        ratio => format!("{ratio:.2}"),
    };
    println!(
        "| {name:<44} | {:>10} | {peer:<24} | {:>10} | {ratio:>13} | {goal:<9} |",
        format!("{own:.2} {unit}"),
        format!("{other:.2} {unit}")
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// What is measured.

/// A directory for everything, removed at the end.
struct Root {
    path: PathBuf,
}

impl Root {
    fn create() -> anyhow::Result<Root> {
        let path = Path::new("/dev/shm").join(format!("bench-store-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Root { path })
    }

    fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    fn counters(&self, workers: usize, series: usize) -> anyhow::Result<PathBuf> {
        let path = self.directory(&format!("counters-{workers}-{series}"))?;
        fill_counters(&path, workers, series)?;
        Ok(path)
    }

    fn histograms(&self, workers: usize, series: usize) -> anyhow::Result<PathBuf> {
        let path = self.directory(&format!("histograms-{workers}-{series}"))?;
        let stores: Vec<Store> = (0..workers)
            .map(|_| Store::open(&path))
            .collect::<Result<_, _>>()?;
        for store in &stores {
            let opts = HistogramOpts::new(
                "app_http_request_duration_seconds",
                "Request duration in seconds, by method and path.",
            );
            let histograms = store.histogram_vec(opts, &LABELS)?;
            for index in 0..series {
                let histogram = histograms
                    .get_metric_with_label_values(&[METHODS[index % 4], &path_of(index)])?;
                for observation in 0..20 {
                    histogram.observe(f64::from(observation) * 0.01 + index as f64 * 1e-4);
                }
            }
        }
        Ok(path)
    }

    /// What as many Python processes would have left.
    fn python_counters(&self, workers: usize, series: usize) -> anyhow::Result<PathBuf> {
        let path = self.directory(&format!("python-{workers}-{series}"))?;
        let status = Command::new(interpreter())
            .arg(peers().join("make_dir.py"))
            .arg(&path)
            .args([
                workers.to_string(),
                series.to_string(),
                "counter".to_owned(),
            ])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("bench/peers/make_dir.py: {status}");
        }
        Ok(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// As many processes at once as `workers`, each with the same series; then all end.
fn fill_counters(path: &Path, workers: usize, series: usize) -> anyhow::Result<()> {
    let stores: Vec<Store> = (0..workers)
        .map(|_| Store::open(path))
        .collect::<Result<_, _>>()?;
    for (worker, store) in stores.into_iter().enumerate() {
        let counters = store
            .with_series_limit(series)
            .counter_vec(counter_opts(), &LABELS)?;
        for index in 0..series {
            let counter =
                counters.get_metric_with_label_values(&[METHODS[index % 4], &path_of(index)])?;
            counter.inc_by((1 + (index * 7919 + worker * 104_729) % 99_991) as f64);
        }
    }
    Ok(())
}

fn counters_in_memory(series: usize) -> anyhow::Result<Registry> {
    let registry = Registry::new();
    let counters = CounterVec::new(counter_opts(), &LABELS)?;
    for index in 0..series {
        let counter = counters.with_label_values(&[METHODS[index % 4], &path_of(index)]);
        counter.inc_by((1 + index * 7919 % 99_991) as f64);
    }
    registry.register(Box::new(counters))?;
    Ok(registry)
}

fn counter_opts() -> Opts {
    Opts::new(
        "app_http_requests_total",
        "Total HTTP requests handled, by method and path.",
    )
}

fn path_of(index: usize) -> String {
    format!("/api/v1/resource/{index:06}")
}

/// How many metric files there are in a directory, and their bytes.
fn size(directory: &Path) -> anyhow::Result<(usize, u64)> {
    let mut total = (0, 0);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "db")
        {
            total = (total.0 + 1, total.1 + entry.metadata()?.len());
        }
    }
    Ok(total)
}

/// Python's client, waiting for directories to scrape.
struct Python {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// `None`, with a message, if there is no Python with `prometheus_client`.
    fn start() -> anyhow::Result<Option<Python>> {
        let python = interpreter();
        let check = Command::new(&python)
            .args(["-c", "import prometheus_client"])
            .stderr(Stdio::null())
            .status();
        if !check.is_ok_and(|status| status.success()) {
            println!(
                "{python} has no prometheus_client, its rows are left out: \
                 pip install -r e2e/requirements.txt, or name another interpreter in PYTHON\n"
            );
            return Ok(None);
        }
        let mut child = Command::new(&python)
            .arg(peers().join("scrape.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the pipe was just asked for")?);
        Ok(Some(Python {
            child,
            requests,
            answers,
        }))
    }

    /// The milliseconds of one scrape.
    fn scrape(&mut self, directory: &Path) -> anyhow::Result<f64> {
        let requests = self.requests.as_mut().context("Python has been stopped")?;
        writeln!(requests, "{}", directory.display())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer
            .trim()
            .parse()
            .with_context(|| format!("bench/peers/scrape.py answered {answer:?}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.requests = None;
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for Python: {error}");
        }
    }
}

fn interpreter() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}
