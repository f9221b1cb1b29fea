//! Tests the metric store and the log on a full disk and on a busy disk.
//!
//!     cargo run --release -p bench --bin disk [-- --seconds N]
//!
//! The full disk is a small tmpfs in a mount namespace of this program. That part needs root and is skipped with a
//! message otherwise. Every request must be answered, no count may be missing, and the program must recover when there
//! is space again.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bench::program;
use clap::Parser;
use common::multiprocess::{MultiProcessCollector, Store};
use e2e::{
    Address, Load, Program, Running, SOON, Signal, Temporary, http, poll, process, ready::Ready,
    real_part,
};
use nix::{
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
    sys::{stat::Mode, statvfs::statvfs},
    unistd::mkfifo,
};

/// Tests the metric store and the log on a full disk and on a busy disk.
#[derive(Parser)]
struct Options {
    /// Seconds of disk load, for each of the two locations of the store.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Requests of each other test.
    #[arg(long, default_value_t = 5_000)]
    requests: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let root = Temporary::in_memory("disk")?;
    // Mount before the second thread starts, so that all threads see the file system.
    match small_file_system(&root) {
        Ok(small) => {
            store_on_full_disk(&small)?;
            pull_on_full_disk(&small, options.requests)?;
            logs_on_full_disk(&small, options.requests)?;
            umount(&small).context("cannot unmount the small file system")?;
        }
        Err(error) => real_part::skip(&format!("cannot mount a small file system: {error:#}"))?,
    }
    logs_to_slow_reader(&root, options.requests)?;
    busy_disk(Duration::from_secs(options.seconds))
}

/// Size of the small file system in bytes.
const SMALL: u64 = 2 << 20;

/// Mounts a tmpfs of [`SMALL`] bytes that only this process and its children see.
fn small_file_system(root: &Temporary) -> Result<PathBuf> {
    let none: Option<&str> = None;
    let path = root.directory("small")?;
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace is not permitted")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("mounting is not permitted")?;
    mount(
        Some("tmpfs"),
        &path,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(format!("size={SMALL}").as_str()),
    )
    .context("mounting a tmpfs is not permitted")?;
    // Never fill another file system.
    let found = statvfs(&path)?;
    let size = found.blocks() * found.fragment_size();
    ensure!(size <= SMALL, "{} is not small", path.display());
    Ok(path)
}

/// Fills the disk until this is dropped.
struct Filler(PathBuf);

impl Filler {
    fn fill(directory: &Path) -> Result<Self> {
        let path = directory.join("filler");
        let mut file = File::create(&path).context("cannot create the filler")?;
        let block = [1; 4096];
        let filler = Self(path);
        // Bounded, so that a bug cannot fill another file system.
        let blocks = SMALL / block.len() as u64;
        let full = (0..=blocks).any(|_| file.write_all(&block).is_err());
        ensure!(full, "{} is not on a small disk", filler.0.display());
        // Fills the last bytes of the current page.
        while file.write_all(&[1]).is_ok() {}
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Series that do not fit are counted in memory, and are in the files when there is space.
fn store_on_full_disk(small: &Path) -> Result<()> {
    const SERIES: usize = 5_000;
    let directory = small.join("store");
    fs::create_dir(&directory)?;
    let store = Store::open(&directory)?.with_series_limit(SERIES);
    let series = store.counter_vec(prometheus::Opts::new("series", "Series"), &["number"])?;
    let filler = Filler::fill(small)?;
    for number in 0..SERIES {
        series
            .get_metric_with_label_values(&[number.to_string()])?
            .inc();
    }
    let shown = |text: &str| text.matches("\nseries_total{").count();
    let stored = shown(&scrape_of(&MultiProcessCollector::new(&directory)?)?);
    ensure!(stored < SERIES, "the disk is not full");
    let own = scrape_of(&store.collector()?)?;
    ensure!(shown(&own) == SERIES, "not {SERIES} series in {own}");
    drop(filler);
    series.with_label_values(&["0"]).inc();
    let others = MultiProcessCollector::new(&directory)?;
    poll("all series in the files", SOON, || {
        let text = scrape_of(&others).ok()?;
        let is_complete = text.contains("series_total{number=\"0\"} 2.0\n");
        (shown(&text) == SERIES && is_complete).then_some(())
    })?;
    println!(
        "store on a full disk: {stored} series stored and {} in memory; all stored with free space",
        SERIES - stored
    );
    drop((series, store));
    Ok(fs::remove_dir_all(directory)?)
}

fn scrape_of(collector: &MultiProcessCollector) -> Result<String> {
    let mut text = String::new();
    collector.encode_text(&mut text)?;
    Ok(text)
}

/// A service keeps counting, also when a worker is killed and restarted.
fn pull_on_full_disk(small: &Path, requests: u64) -> Result<()> {
    let directory = small.join("metrics");
    fs::create_dir(&directory)?;
    let running = pull(&directory).start()?;
    let mut answered = load(running.addr()?, requests)?;
    let filler = Filler::fill(small)?;
    answered += load(running.addr()?, requests)?;
    let victim = running.workers().first().copied().context("no worker")?;
    process::send(victim, Signal::SIGKILL)?;
    poll("a new worker", SOON, || {
        let workers = running.workers();
        (workers.len() == 2 && !workers.contains(&victim)).then_some(())
    })
    .with_context(|| running.console().to_string())?;
    answered += load(running.addr()?, requests)?;
    drop(filler);
    answered += load(running.addr()?, requests)?;
    let expected = format!("num_requests_total {answered}.0\n");
    // What the new worker had to count in memory is in its files soon.
    poll("all requests to be counted", SOON, || {
        let text = http::get(running.addr().ok()?, "/metrics").ok()?.body;
        text.contains(&expected).then_some(())
    })?;
    println!(
        "metrics-multi-process-pull on a full disk: {answered} requests answered, all counted"
    );
    stop(running)
}

/// A service whose log cannot be written keeps serving, and logs again when there is space.
fn logs_on_full_disk(small: &Path, requests: u64) -> Result<()> {
    let log = small.join("log");
    let (running, addr) = logs_into(&log)?;
    load(addr.clone(), 100)?;
    let filler = Filler::fill(small)?;
    load(addr.clone(), requests)?;
    let length = |log: &Path| log.metadata().map_or(0, |metadata| metadata.len());
    let before = length(&log);
    drop(filler);
    load(addr.clone(), 100)?;
    poll("the log to go on", SOON, || {
        (length(&log) > before).then_some(())
    })?;
    println!(
        "logs on a full disk: {requests} requests answered without a log; logging recovered with free space"
    );
    stop(running)
}

/// A slow reader of the log slows the service down, but no log line is lost.
fn logs_to_slow_reader(root: &Temporary, requests: u64) -> Result<()> {
    let pipe = root.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).context("cannot create a named pipe")?;
    // Open for reading and writing, so that neither side blocks in `open`.
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe)?;
    let log = root.path().join("read");
    let copy = File::create(&log)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let slow = scope.spawn(|| read_slowly(&mut reader, copy, &done));
        let (running, addr) = logs_through(&pipe, &log)?;
        let result = load(addr.clone(), requests);
        let stopped = stop(running);
        done.store(true, Relaxed);
        // A last byte wakes the reader.
        OpenOptions::new()
            .write(true)
            .open(&pipe)?
            .write_all(b"\n")?;
        slow.join().expect("its panic was printed")?;
        result?;
        stopped
    })?;
    let text = fs::read_to_string(&log)?;
    let lines = text
        .lines()
        .filter(|line| line.contains("Request received"))
        .count();
    ensure!(
        lines as u64 == requests,
        "{lines} lines of {requests} requests"
    );
    println!("logs to a slow reader: {requests} requests answered, {lines} lines");
    Ok(())
}

/// Reads about 2 MiB per second.
fn read_slowly(pipe: &mut File, mut copy: File, done: &AtomicBool) -> Result<()> {
    let mut bytes = [0; 4096];
    while !done.load(Relaxed) {
        let count = pipe.read(&mut bytes)?;
        copy.write_all(&bytes[..count])?;
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn logs_into(log: &Path) -> Result<(Running, Address)> {
    logs_through(log, log)
}

/// Starts `logs` with stderr redirected to `target`, and reads the ready line from `log`.
fn logs_through(target: &Path, log: &Path) -> Result<(Running, Address)> {
    let redirect = format!("exec \"$0\" \"$@\" 2>>'{}'", target.display());
    let running = program("logs")
        .under(&["sh", "-c", &redirect])
        .env("ERROR_RATE", "0")
        .env("RUST_LOG", "info")
        .spawn()?;
    let addr = poll("the ready line", SOON, || {
        let text = fs::read_to_string(log).unwrap_or_default();
        text.lines()
            .find_map(Ready::parse)
            .map(|ready| ready.address)
    })
    .with_context(|| running.console().to_string())?;
    Ok((running, addr))
}

/// Compares a store on a disk under write load with a store in memory at the same time.
fn busy_disk(time: Duration) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let on_disk = workspace.join("target/bench/busy-disk");
    let _ = fs::remove_dir_all(&on_disk);
    fs::create_dir_all(on_disk.join("metrics"))?;
    let in_memory = Temporary::in_memory("busy-disk")?;
    for (name, directory) in [
        ("on the busy disk", on_disk.join("metrics")),
        ("in memory", in_memory.directory("metrics")?),
    ] {
        let done = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            let writer = scope.spawn(|| keep_busy(&on_disk, &done));
            let result = under_busy_disk(name, &directory, time);
            done.store(true, Relaxed);
            let written = writer.join().expect("its panic was printed")?;
            println!("  meanwhile {written} MiB were written and synced");
            result
        })?;
    }
    Ok(fs::remove_dir_all(on_disk)?)
}

fn under_busy_disk(name: &str, directory: &Path, time: Duration) -> Result<()> {
    let running = pull(directory).start()?;
    let report = Load::on(running.addr()?).clients(16).at_most(time).run()?;
    ensure!(
        report.lost() == 0 && report.total() == report.answered,
        "{report}"
    );
    let text = http::get(running.addr()?, "/metrics")?.body;
    let expected = format!("num_requests_total {}.0\n", report.answered);
    ensure!(
        text.contains(&expected),
        "not {} in {text}",
        report.answered
    );
    println!(
        "metrics-multi-process-pull, store {name}: {} requests answered and counted; p50 {:?}, p99.9 {:?}, longest {:?}",
        report.answered,
        report.quantile(0.5),
        report.quantile(0.999),
        report.max()
    );
    stop(running)
}

/// Repeatedly overwrites and syncs the same 64 MiB. Returns the mebibytes written.
fn keep_busy(directory: &Path, done: &AtomicBool) -> Result<u64> {
    let path = directory.join("busy");
    let block = vec![7; 1024 * 1024];
    let mut written = 0;
    while !done.load(Relaxed) {
        let mut file = File::create(&path)?;
        for _ in 0..64 {
            file.write_all(&block)?;
            file.sync_data()?;
            written += 1;
            if done.load(Relaxed) {
                break;
            }
        }
    }
    Ok(written)
}

fn pull(directory: impl AsRef<OsStr>) -> Program {
    program("metrics-multi-process-pull")
        .env("ERROR_RATE", "0")
        .env("RUST_LOG", "warn")
        .env("PROMETHEUS_MULTIPROC_DIR", directory)
}

/// Sends requests, requires all answers, and returns their number.
fn load(addr: impl Into<Address>, requests: u64) -> Result<u64> {
    let report = Load::on(addr).clients(8).requests(requests).run()?;
    if report.statuses.get(&200) != Some(&requests) {
        bail!("not all of {requests} requests were answered: {report}");
    }
    Ok(requests)
}

fn stop(mut running: Running) -> Result<()> {
    running.signal(Signal::SIGTERM)?;
    let status = running.wait_exit(SOON)?;
    ensure!(status.success(), "{status}: {}", running.console());
    running.wait_gone(SOON)
}
