//! The handles that a program updates. Each is a pointer to its cells in a mapping: an
//! update costs what it would cost in memory, and outlives the process.

mod histogram;
mod summary;

use std::{sync::Arc, time::SystemTime};

pub use self::{histogram::Histogram, summary::Summary};

use crate::{
    cell, exemplar::SpanIds, exemplars::Place, files::Incident, map::Cell, state::MetricState,
};

const NOT_FINITE: &str = "it is not a finite number";

/// A metric that [`MetricVec`](super::MetricVec) can hold. This trait is sealed.
pub trait Metric: sealed::FromCells + Clone + Send + Sync + 'static {}

impl<M: sealed::FromCells + Clone + Send + Sync + 'static> Metric for M {}

pub(crate) mod sealed {
    use super::*;

    pub trait FromCells {
        /// Makes the handle of a series from its cells, in the order of `Definition::keys`.
        fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Self;
    }
}

/// A number that only increases.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// let requests = store.counter(prometheus::Opts::new("requests", "Number of requests"))?;
/// requests.inc();
/// requests.inc_by(2.0);
/// assert_eq!(requests.get(), 3.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Counter {
    cell: Cell,
    exemplar: Arc<Place>,
    state: Arc<MetricState>,
}

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        cell::add(self.cell.value(), 1.0);
    }

    /// Adds `amount`. A number that is negative or not finite is ignored, counted in
    /// `multiprocess_incidents_total`, and logged once.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        self.add(amount, None);
    }

    /// Like [`Counter::inc_by`], and keeps the span as the exemplar of the counter, in the place of
    /// the one before. See [`Histogram::observe_with_exemplar`].
    #[inline]
    pub fn inc_by_with_exemplar(&self, amount: f64, span: SpanIds) {
        self.add(amount, Some(span));
    }

    #[inline]
    pub(crate) fn add(&self, amount: f64, span: Option<SpanIds>) {
        if (0.0..f64::INFINITY).contains(&amount) {
            cell::add(self.cell.value(), amount);
            if let Some(span) = span {
                let place = &self.exemplar;
                self.state.put_exemplar(&self.cell, place, span, amount);
            }
        } else {
            self.state
                .invalid_update(amount, "a counter takes finite numbers from 0 on");
        }
    }

    /// The value, including that of earlier processes with the same identifier.
    pub fn get(&self) -> f64 {
        cell::get(self.cell.value())
    }
}

impl sealed::FromCells for Counter {
    fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Counter {
        Counter {
            cell: cells[0].clone(),
            exemplar: Arc::default(),
            state: Arc::clone(state),
        }
    }
}

/// A number that goes up and down.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// use prometheus_multiprocess::{GaugeMode, GaugeOpts};
///
/// let active = GaugeOpts::new("active_requests", "Requests in progress").mode(GaugeMode::LiveSum);
/// let active = store.gauge(active)?;
/// active.inc();
/// active.add(2.0);
/// active.dec();
/// assert_eq!(active.get(), 2.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gauge {
    cell: Cell,
    most_recent: bool,
    state: Arc<MetricState>,
}

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        if self.most_recent {
            self.set_now(value);
        } else {
            cell::set(self.cell.value(), value);
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds `amount`. A gauge with a `MostRecent` mode can only be set; for it the update is
    /// ignored, counted in `multiprocess_incidents_total`, and logged once. So is an amount that is
    /// not finite.
    #[inline]
    pub fn add(&self, amount: f64) {
        if self.most_recent {
            self.state
                .invalid_update(amount, "a gauge with mode mostrecent can only be set");
        } else if amount.is_finite() {
            cell::add(self.cell.value(), amount);
        } else {
            self.state.invalid_update(amount, NOT_FINITE);
        }
    }

    /// Subtracts `amount`; see [`Gauge::add`].
    #[inline]
    pub fn sub(&self, amount: f64) {
        self.add(-amount);
    }

    /// The value in this process.
    pub fn get(&self) -> f64 {
        cell::get(self.cell.value())
    }

    #[cold]
    fn set_now(&self, value: f64) {
        let now = SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default()
            .as_secs_f64();
        cell::set_at(self.cell.value(), self.cell.time(), value, now);
    }
}

impl sealed::FromCells for Gauge {
    fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Gauge {
        Gauge {
            cell: cells[0].clone(),
            most_recent: state.is_most_recent(),
            state: Arc::clone(state),
        }
    }
}

impl MetricState {
    #[cold]
    fn invalid_update(&self, value: f64, why: &str) {
        self.report(Incident::InvalidUpdate, || {
            format!("update by {value} ignored, {why}")
        });
    }
}
