//! Creates the directories to scrape.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};
use bench::{python, row::number};
use common::multiprocess::Store;
use e2e::Temporary;
use prometheus::{CounterVec, HistogramOpts, HistogramVec, Opts, Registry};

pub(crate) const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
pub(crate) const LABELS: [&str; 2] = ["method", "path"];

/// The size of a directory.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Number of processes that wrote it.
    pub(crate) workers: usize,
    /// Number of label sets in each process. All processes have the same ones.
    pub(crate) series: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [workers, series] = [self.workers, self.series].map(|count| number(count as f64));
        write!(formatter, "{workers} x {series}")
    }
}

pub(crate) fn counters(root: &Temporary, shape: Shape) -> Result<PathBuf> {
    let name = format!("counters-{}-{}", shape.workers, shape.series);
    if root.path().join(&name).exists() {
        return root.directory(&name);
    }
    let path = root.directory(&name)?;
    fill_counters(&path, shape)?;
    Ok(path)
}

pub(crate) fn histograms(root: &Temporary, shape: Shape) -> Result<PathBuf> {
    let path = root.directory(&format!("histograms-{}-{}", shape.workers, shape.series))?;
    for store in stores(&path, shape.workers)? {
        let histograms = store.histogram_vec(histogram_opts(), &LABELS)?;
        for index in 0..shape.series {
            let values = [METHODS[index % 4], &path_of(index)];
            let histogram = histograms.get_metric_with_label_values(&values)?;
            observations(index).for_each(|seconds| histogram.observe(seconds));
        }
    }
    Ok(path)
}

/// A directory as left by Python processes.
pub(crate) fn counters_of_python(root: &Temporary, shape: Shape) -> Result<PathBuf> {
    let path = root.directory(&format!("python-{}-{}", shape.workers, shape.series))?;
    let mut command = Command::new(python::interpreter());
    command
        .arg(python::peers().join("make_dir.py"))
        .arg(&path)
        .args([shape.workers.to_string(), shape.series.to_string()])
        .arg("counter")
        .stdout(Stdio::null());
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(path)
}

/// Writes the same series from several stores at once, one for each worker, and closes them.
pub(crate) fn fill_counters(path: &Path, shape: Shape) -> Result<()> {
    for (worker, store) in stores(path, shape.workers)?.into_iter().enumerate() {
        let counters = store
            .with_series_limit(shape.series)
            .counter_vec(counter_opts(), &LABELS)?;
        for index in 0..shape.series {
            let values = [METHODS[index % 4], &path_of(index)];
            let counter = counters.get_metric_with_label_values(&values)?;
            counter.inc_by((1 + (index * 7919 + worker * 104_729) % 99_991) as f64);
        }
    }
    Ok(())
}

/// Opens all stores at once, so that each gets its own identifier.
fn stores(path: &Path, workers: usize) -> Result<Vec<Store>> {
    let open = || Ok(Store::open(path)?);
    (0..workers).map(|_| open()).collect()
}

pub(crate) fn counters_in_memory(series: usize) -> Result<Registry> {
    let registry = Registry::new();
    let counters = CounterVec::new(counter_opts(), &LABELS)?;
    for index in 0..series {
        let counter = counters.with_label_values(&[METHODS[index % 4], &path_of(index)]);
        counter.inc_by((1 + index * 7919 % 99_991) as f64);
    }
    registry.register(Box::new(counters))?;
    Ok(registry)
}

pub(crate) fn histograms_in_memory(series: usize) -> Result<Registry> {
    let registry = Registry::new();
    let histograms = HistogramVec::new(histogram_opts(), &LABELS)?;
    for index in 0..series {
        let histogram = histograms.with_label_values(&[METHODS[index % 4], &path_of(index)]);
        observations(index).for_each(|seconds| histogram.observe(seconds));
    }
    registry.register(Box::new(histograms))?;
    Ok(registry)
}

fn observations(index: usize) -> impl Iterator<Item = f64> {
    (0..20).map(move |observation| f64::from(observation) * 0.01 + index as f64 * 1e-4)
}

fn counter_opts() -> Opts {
    Opts::new(
        "app_http_requests_total",
        "Total HTTP requests handled, by method and path.",
    )
}

fn histogram_opts() -> HistogramOpts {
    HistogramOpts::new(
        "app_http_request_duration_seconds",
        "Request duration in seconds, by method and path.",
    )
}

pub(crate) fn path_of(index: usize) -> String {
    format!("/api/v1/resource/{index:06}")
}

/// The number of metric files in a directory, and their size in bytes.
pub(crate) fn size(directory: &Path) -> Result<(u64, u64)> {
    let mut total = (0, 0);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let extension = entry.path().extension().map(|end| end.to_owned());
        if extension.is_some_and(|extension| extension == "db") {
            total = (total.0 + 1, total.1 + entry.metadata()?.len());
        }
    }
    Ok(total)
}
