//! The metrics of one process.

use std::{
    any::Any,
    collections::HashMap,
    env, fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use prometheus::{Error, HistogramOpts, Opts};

use crate::{
    DIRECTORY_VARIABLE,
    collector::MultiProcessCollector,
    context::{Context, Incident, Shared},
    definition::{Definition, GaugeOpts},
    error::DirectoryError,
    file::{Cell, OwnFile},
    format::Kind,
    identity::Identity,
    key, lock,
    metric::{Counter, Gauge, Histogram, Metric, Summary},
    vec::{CounterVec, GaugeVec, HistogramVec, MetricVec, SummaryVec},
};

/// Series that one metric may have, as in the OpenTelemetry specification ("cardinality limits").
const SERIES_LIMIT: usize = 2000;

/// The metrics of this process, in files that every process of the service can read.
///
/// Clones share the store. The process releases its identifier when the last clone and the last
/// metric are dropped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use prometheus_multiprocess::{Directory, Store};
/// use prometheus::Opts;
///
/// let directory = Directory::prepare(None)?;
/// let store = Store::open(directory.path())?.with_series_limit(100);
/// assert_eq!(store.identifier(), "worker-0");
/// let requests = store.counter(Opts::new("requests", "Number of requests"))?;
/// requests.inc();
/// // Registering the same metric again returns it.
/// assert_eq!(store.counter(Opts::new("requests", "Number of requests"))?.get(), 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    shared: Arc<Shared>,
    files: Mutex<HashMap<Kind, Arc<OwnFile>>>,
    metrics: Mutex<HashMap<String, Registered>>,
}

struct Registered {
    context: Arc<Context>,
    /// The `MetricVec` of the kind that the context names.
    series: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("directory", &self.0.directory)
            .field("identifier", &self.identifier())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `directory` as a worker process, with the lowest free identifier `worker-N`.
    ///
    /// Counters, histograms, summaries and gauges without a live mode continue from the values of
    /// the previous process with this identifier. Live gauges start at zero.
    ///
    /// # Errors
    ///
    /// Fails if the directory does not exist, or if files cannot be created in it.
    pub fn open(directory: impl AsRef<Path>) -> Result<Store, DirectoryError> {
        let directory = directory.as_ref();
        Store::with_identity(directory, Identity::worker(directory)?)
    }

    /// Opens the directory that `PROMETHEUS_MULTIPROC_DIR` names; see [`Store::open`].
    ///
    /// # Errors
    ///
    /// Fails as [`Store::open`] does, and if the variable is unset or empty.
    pub fn from_env() -> Result<Store, DirectoryError> {
        let named = env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
        Store::open(named.ok_or(DirectoryError::Unset)?)
    }

    /// Sets the maximum number of series of each metric; the default is 2,000. Updates of further
    /// series are counted in one series, see [`MetricVec::with_label_values`].
    pub fn with_series_limit(self, limit: usize) -> Store {
        self.0.shared.series_limit.store(limit, Relaxed);
        self
    }

    /// The identifier of this process, such as `worker-0`. Gauges have it in the label `pid`.
    pub fn identifier(&self) -> &str {
        self.0.shared.identity.name()
    }

    /// The path of the directory.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Creates a collector of the metrics of all processes in the directory.
    ///
    /// # Errors
    ///
    /// Fails as [`MultiProcessCollector::new`] does.
    pub fn collector(&self) -> Result<MultiProcessCollector, Error> {
        MultiProcessCollector::counting(&self.0.directory, Some(Arc::clone(&self.0.shared)))
    }

    /// Registers a counter, or returns it if it is registered already. The suffix `_total` of the
    /// name is optional; the samples always have it.
    ///
    /// # Errors
    ///
    /// Fails if a name is invalid, if the name is registered with another type, help or labels, if
    /// the file cannot be written, or if this process was forked after the store was opened.
    pub fn counter(&self, opts: Opts) -> Result<Counter, Error> {
        self.single(Definition::new(Kind::Counter, opts, &[])?)
    }

    /// Registers counters with the labels `label_names`.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does.
    pub fn counter_vec(&self, opts: Opts, label_names: &[&str]) -> Result<CounterVec, Error> {
        self.series(Definition::new(Kind::Counter, opts, label_names)?)
    }

    /// Registers a gauge. [`GaugeOpts`] sets how the values of several processes are merged.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does.
    pub fn gauge(&self, opts: impl Into<GaugeOpts>) -> Result<Gauge, Error> {
        let opts = opts.into();
        self.single(Definition::new(
            Kind::Gauge(opts.mode),
            opts.common_opts,
            &[],
        )?)
    }

    /// Registers gauges with the labels `label_names`.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does.
    pub fn gauge_vec(
        &self,
        opts: impl Into<GaugeOpts>,
        label_names: &[&str],
    ) -> Result<GaugeVec, Error> {
        let opts = opts.into();
        self.series(Definition::new(
            Kind::Gauge(opts.mode),
            opts.common_opts,
            label_names,
        )?)
    }

    /// Registers a histogram.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does, and if the bucket bounds do not increase.
    pub fn histogram(&self, opts: impl Into<HistogramOpts>) -> Result<Histogram, Error> {
        self.single(Definition::histogram(opts.into(), &[])?)
    }

    /// Registers histograms with the labels `label_names`.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::histogram`] does.
    pub fn histogram_vec(
        &self,
        opts: impl Into<HistogramOpts>,
        label_names: &[&str],
    ) -> Result<HistogramVec, Error> {
        self.series(Definition::histogram(opts.into(), label_names)?)
    }

    /// Registers a summary: count and sum. It has no quantiles, because they cannot be merged.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does.
    pub fn summary(&self, opts: Opts) -> Result<Summary, Error> {
        self.single(Definition::new(Kind::Summary, opts, &[])?)
    }

    /// Registers summaries with the labels `label_names`.
    ///
    /// # Errors
    ///
    /// Fails as [`Store::counter`] does.
    pub fn summary_vec(&self, opts: Opts, label_names: &[&str]) -> Result<SummaryVec, Error> {
        self.series(Definition::new(Kind::Summary, opts, label_names)?)
    }

    pub(crate) fn with_identity(
        directory: &Path,
        identity: Identity,
    ) -> Result<Store, DirectoryError> {
        let (incidents, file) =
            incidents(directory, identity.name()).map_err(DirectoryError::io(
                directory,
                format!("create the files of {}", identity.name()),
            ))?;
        Ok(Store(Arc::new(Inner {
            directory: directory.to_owned(),
            shared: Arc::new(Shared {
                identity,
                pid: std::process::id(),
                series_limit: AtomicUsize::new(SERIES_LIMIT),
                incidents,
            }),
            files: Mutex::new(HashMap::from([(Kind::Counter, file)])),
            metrics: Mutex::new(HashMap::new()),
        })))
    }

    pub(crate) fn count(&self, incident: Incident) {
        self.0.shared.count(incident);
    }

    fn single<M: Metric>(&self, definition: Definition) -> Result<M, Error> {
        if !definition.label_names.is_empty() {
            return Err(Error::Msg(format!(
                "metric {:?} has the variable labels {:?}; register it with a function that ends in `_vec`",
                definition.name, definition.label_names
            )));
        }
        self.series::<M>(definition)?
            .get_metric_with_label_values::<&str>(&[])
            .cloned()
    }

    fn series<M: Metric>(&self, definition: Definition) -> Result<MetricVec<M>, Error> {
        self.0.shared.check_process()?;
        let mut metrics = lock(&self.0.metrics);
        if let Some(registered) = metrics.get(&definition.name) {
            return match registered.series.downcast_ref::<MetricVec<M>>() {
                Some(series) if *registered.context.definition() == definition => {
                    Ok(series.clone())
                }
                _ => Err(Error::Msg(format!(
                    "metric {:?} is already registered with another type, help or labels: {:?}",
                    definition.name,
                    registered.context.definition()
                ))),
            };
        }
        let file = self.file(definition.kind)?;
        let name = definition.name.clone();
        let context = Arc::new(Context::new(definition, Arc::clone(&self.0.shared), file));
        let series = MetricVec::<M>::new(Arc::clone(&context));
        let registered = Registered {
            context,
            series: Box::new(series.clone()),
        };
        metrics.insert(name, registered);
        Ok(series)
    }

    fn file(&self, kind: Kind) -> io::Result<Arc<OwnFile>> {
        let mut files = lock(&self.0.files);
        if let Some(file) = files.get(&kind) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OwnFile::open(&self.0.directory, kind, self.identifier())?);
        files.insert(kind, Arc::clone(&file));
        Ok(file)
    }
}

/// The cells of the store's own metric, and the file they are in.
fn incidents(directory: &Path, identifier: &str) -> io::Result<(Vec<Cell>, Arc<OwnFile>)> {
    let file = Arc::new(OwnFile::open(directory, Kind::Counter, identifier)?);
    let name = "multiprocess_incidents";
    let help = "Updates refused and files repaired by the metric store, by kind";
    let keys = Incident::KINDS
        .map(|kind| key::write(name, &format!("{name}_total"), [("kind", kind)], help));
    Ok((file.cells(name, &keys)?, file))
}
