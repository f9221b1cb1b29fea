//! The metrics of one process.

use std::{
    any::Any,
    env, fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::{Error, HistogramOpts, Opts};

use crate::{
    DIRECTORY_VARIABLE,
    collector::MultiProcessCollector,
    definition::{Definition, GaugeOpts},
    error::DirectoryError,
    files::{Files, Incident},
    format::Kind,
    identity::{Identity, Role},
    metric::{Counter, Gauge, Histogram, Metric, Summary},
    periodic::Periodic,
    registry::Registry,
    state::{MetricState, Shared},
    vec::{CounterVec, GaugeVec, HistogramVec, MetricVec, SummaryVec},
};

/// Series that one metric may have, as in the OpenTelemetry specification ("cardinality limits").
const SERIES_LIMIT: usize = 2000;
/// How often a process looks whether its files are where they should be.
const REPAIR_INTERVAL: Duration = Duration::from_secs(1);

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
/// assert_eq!(store.identifier().as_deref(), Some("worker-0"));
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
    metrics: Registry,
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
    /// A directory that is missing, full or not writable is no error. The store logs that, counts
    /// in memory, and a thread tries every second to write the counts. Until then other
    /// processes do not see them. The thread also restores files that are removed or replaced.
    ///
    /// # Errors
    ///
    /// Fails if the path is not a directory.
    pub fn open(directory: impl AsRef<Path>) -> Result<Store, DirectoryError> {
        let directory = directory.as_ref();
        if directory.exists() && !directory.is_dir() {
            return Err(DirectoryError::NotADirectory {
                path: directory.to_owned(),
            });
        }
        let identity = Identity::take(directory, Role::Worker);
        Store::with_identity(directory, Role::Worker, identity)
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
    /// `None` as long as the directory cannot be written.
    pub fn identifier(&self) -> Option<String> {
        self.0.shared.files.identifier()
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
        MultiProcessCollector::with_own(&self.0.directory, Some(Arc::clone(&self.0.shared.files)))
    }

    /// Registers a counter, or returns it if it is registered already. The suffix `_total` of the
    /// name is optional; the samples always have it.
    ///
    /// # Errors
    ///
    /// Fails if a name is invalid, if the name is registered with another type, help or labels, if
    /// another metric has samples of that name, or if this process was forked after the store was
    /// opened.
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
        role: Role,
        identity: Result<Identity, DirectoryError>,
    ) -> Result<Store, DirectoryError> {
        let files = Files::new(directory, role, identity)
            .map_err(DirectoryError::io(directory, "allocate memory"))?;
        let files = Arc::new(files);
        let repair = {
            let files = Arc::clone(&files);
            move || files.repair()
        };
        let keeper = Periodic::start("metrics", REPAIR_INTERVAL, repair);
        if let Err(error) = &keeper {
            log::warn!("cannot start the thread that repairs metric files: {error}");
        }
        Ok(Store(Arc::new(Inner {
            directory: directory.to_owned(),
            shared: Arc::new(Shared {
                _keeper: keeper.ok(),
                files,
                pid: std::process::id(),
                series_limit: AtomicUsize::new(SERIES_LIMIT),
            }),
            metrics: Registry::default(),
        })))
    }

    /// Ends the repairs. Returns whether the directory is still the one that this process holds.
    pub(crate) fn close(&self) -> bool {
        self.0.shared.files.close()
    }

    pub(crate) fn count(&self, incident: Incident) {
        self.0.shared.files.count(incident);
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
        self.register(definition, |state| MetricVec::<M>::new(Arc::clone(state)))
    }

    /// Registers a metric with what holds its series, which are made unless it is registered.
    pub(crate) fn register<S: Any + Clone + Send + Sync>(
        &self,
        definition: Definition,
        make: impl FnOnce(&Arc<MetricState>) -> S,
    ) -> Result<S, Error> {
        self.0.metrics.register(&self.0.shared, definition, make)
    }
}
