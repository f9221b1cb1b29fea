//! The series of one metric by their label values.
//!
//! A lookup takes no lock and changes no shared memory, so that threads which look up the
//! same series do not slow each other down. That is possible since series are only ever
//! added, as in the file. A new one is linked to the end of a chain that readers follow.

mod values;

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{Arc, Mutex, OnceLock},
};

use foldhash::fast::RandomState;
use prometheus::Error;

use self::values::Values;
use crate::{
    files::Incident,
    lock,
    metric::{Counter, Gauge, Histogram, Metric, Summary},
    state::MetricState,
};

/// Counters with labels.
pub type CounterVec = MetricVec<Counter>;
/// Gauges with labels.
pub type GaugeVec = MetricVec<Gauge>;
/// Histograms with labels.
pub type HistogramVec = MetricVec<Histogram>;
/// Summaries with labels.
pub type SummaryVec = MetricVec<Summary>;

/// Most metrics have few series, and a chain of a few is followed quickly.
const MAX_CHAINS: usize = 64 * 1024;

/// Metrics of one name, one for each combination of label values.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// let orders = prometheus::Opts::new("orders", "Orders taken");
/// let orders = store.counter_vec(orders, &["kind"])?;
/// orders.with_label_values(&["new"]).inc();
/// // A handle that is kept costs no lookup.
/// let old = orders.with_label_values(&["old"]).clone();
/// old.inc_by(2.0);
/// assert_eq!(orders.with_label_values(&["old"]).get(), 2.0);
/// assert!(orders.get_metric_with_label_values(&["too", "many"]).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MetricVec<M> {
    series: Arc<Series<M>>,
}

struct Series<M> {
    state: Arc<MetricState>,
    /// With a random seed, so that clients cannot choose label values that collide.
    seed: RandomState,
    chains: Box<[Chain<M>]>,
    adding: Mutex<()>,
    overflow: OnceLock<M>,
    detached: OnceLock<M>,
}

type Chain<M> = OnceLock<Box<Node<M>>>;

struct Node<M> {
    hash: u64,
    values: Values,
    metric: M,
    next: Chain<M>,
}

impl<M> fmt::Debug for MetricVec<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MetricVec")
            .field(&self.series.state)
            .finish()
    }
}

impl<M: Metric> MetricVec<M> {
    /// Returns the metric with these label values, in the order of the label names. A new metric
    /// is created. `clone` the metric to update it again without a lookup.
    ///
    /// Above the series limit ([`Store::with_series_limit`](super::Store::with_series_limit)) it
    /// returns the metric whose label values are all [`OVERFLOW`](crate::OVERFLOW). If the series
    /// cannot be stored, or the number of values is wrong, updates of the returned metric are lost.
    /// Both cases are counted in `multiprocess_incidents_total` and logged once for each metric.
    #[inline]
    pub fn with_label_values<V: AsRef<str>>(&self, values: &[V]) -> &M {
        match self.get_metric_with_label_values(values) {
            Ok(metric) => metric,
            Err(error) => self.series.detached(&error),
        }
    }

    /// Like [`MetricVec::with_label_values`], but returns an error if updates would be lost.
    ///
    /// # Errors
    ///
    /// Fails if the number of values is wrong, if the series cannot be stored (for example because
    /// the disk is full), or if this process was forked after the store was opened.
    #[inline]
    pub fn get_metric_with_label_values<V: AsRef<str>>(&self, values: &[V]) -> Result<&M, Error> {
        let hash = self.series.hash(values);
        match self.series.find(hash, values) {
            Ok(metric) => Ok(metric),
            Err(_) => self.series.add(hash, values),
        }
    }

    /// Always fails, because the file format is append only.
    ///
    /// # Errors
    ///
    /// Always. Python's client logs a warning and does nothing. To let a series disappear, use a
    /// gauge with a live mode: it goes when its process ends.
    pub fn remove_label_values<V: AsRef<str>>(&self, values: &[V]) -> Result<(), Error> {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        Err(Error::Msg(format!(
            "metric {:?}: cannot remove series {values:?}, its file is append only",
            self.series.state.definition().name
        )))
    }

    pub(crate) fn new(state: Arc<MetricState>) -> MetricVec<M> {
        let chains = match state.definition().label_names.len() {
            0 => 1,
            _ => state
                .series_limit()
                .clamp(1, MAX_CHAINS)
                .next_power_of_two(),
        };
        MetricVec {
            series: Arc::new(Series {
                state,
                seed: RandomState::default(),
                chains: (0..chains).map(|_| Chain::new()).collect(),
                adding: Mutex::new(()),
                overflow: OnceLock::new(),
                detached: OnceLock::new(),
            }),
        }
    }
}

impl<M: Metric> Series<M> {
    fn hash<V: AsRef<str>>(&self, values: &[V]) -> u64 {
        let mut hash = self.seed.build_hasher();
        for value in values {
            // Where one value ends is part of the comparison in `Values::are`.
            hash.write(value.as_ref().as_bytes());
        }
        hash.finish()
    }

    /// The metric, or the end of the chain where it belongs.
    fn find<V: AsRef<str>>(&self, hash: u64, values: &[V]) -> Result<&M, &Chain<M>> {
        // The number of chains is a power of two.
        let mut chain = &self.chains[hash as usize & (self.chains.len() - 1)];
        while let Some(node) = chain.get() {
            if node.hash == hash && node.values.are(values) {
                return Ok(&node.metric);
            }
            chain = &node.next;
        }
        Err(chain)
    }

    #[cold]
    fn add<V: AsRef<str>>(&self, hash: u64, values: &[V]) -> Result<&M, Error> {
        if let Some(metric) = self.overflow.get()
            && values.len() == self.state.definition().label_names.len()
        {
            return Ok(self.overflowing(metric));
        }
        let _adding = lock(&self.adding);
        match self.add_locked(hash, values)? {
            Some(metric) => Ok(metric),
            None => self.overflow(),
        }
    }

    /// Adds a series unless it is there; `None` if it is one too many.
    fn add_locked<V: AsRef<str>>(&self, hash: u64, values: &[V]) -> Result<Option<&M>, Error> {
        let end = match self.find(hash, values) {
            Ok(metric) => return Ok(Some(metric)),
            Err(end) => end,
        };
        let Some(cells) = self.state.cells(values)? else {
            return Ok(None);
        };
        let node = end.get_or_init(|| {
            Box::new(Node {
                hash,
                values: Values::new(values),
                metric: M::from_cells(&cells, &self.state),
                next: Chain::new(),
            })
        });
        Ok(Some(&node.metric))
    }

    fn overflow(&self) -> Result<&M, Error> {
        let metric = match self.overflow.get() {
            Some(metric) => metric,
            None => {
                // From now on a series that is not found is one too many, so those that an earlier
                // process stored have to be there.
                for values in self.state.stored() {
                    self.add_locked(self.hash(&values), &values)?;
                }
                let metric = M::from_cells(&self.state.overflow_cells()?, &self.state);
                self.overflow.get_or_init(|| metric)
            }
        };
        Ok(self.overflowing(metric))
    }

    fn overflowing<'a>(&'a self, metric: &'a M) -> &'a M {
        self.state.report(
            Incident::SeriesLimit,
            || "series limit reached, new series are counted in the series \"_overflow\"",
        );
        metric
    }

    #[cold]
    fn detached(&self, error: &Error) -> &M {
        self.state.report(Incident::SeriesRefused, || {
            format!("updates are lost: {error}")
        });
        self.detached
            .get_or_init(|| M::from_cells(&self.state.detached_cells(), &self.state))
    }
}
