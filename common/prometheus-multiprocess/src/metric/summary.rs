//! A summary: the number and the sum of observations.

use std::sync::Arc;

use super::{NOT_FINITE, sealed};
use crate::{cell, map::Cell, state::MetricState};

/// Counts observations and sums them.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = prometheus_multiprocess::Directory::prepare(None)?;
/// # let store = directory.store();
/// let size = store.summary(prometheus::Opts::new("response_size_bytes", "Size of a body"))?;
/// size.observe(512.0);
/// assert_eq!((size.get_sample_count(), size.get_sample_sum()), (1, 512.0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Summary {
    count: Cell,
    sum: Cell,
    state: Arc<MetricState>,
}

impl Summary {
    /// Adds an observation. A number that is not finite is ignored, counted in
    /// `multiprocess_incidents_total`, and logged once: the sum could never be finite again.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_finite() {
            cell::add(self.count.value(), 1.0);
            cell::add(self.sum.value(), value);
        } else {
            self.state.invalid_update(value, NOT_FINITE);
        }
    }

    /// The number of observations.
    pub fn get_sample_count(&self) -> u64 {
        cell::get(self.count.value()) as u64
    }

    /// The sum of the observations.
    pub fn get_sample_sum(&self) -> f64 {
        cell::get(self.sum.value())
    }
}

impl sealed::FromCells for Summary {
    fn from_cells(cells: &[Cell], state: &Arc<MetricState>) -> Summary {
        Summary {
            count: cells[0].clone(),
            sum: cells[1].clone(),
            state: Arc::clone(state),
        }
    }
}
