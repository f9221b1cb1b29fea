//! What is known of one instance over time.

use std::sync::Arc;

use crate::{
    instance::Instance,
    ring::{Ring, SECONDS},
};

/// Where the requests of an instance are known from, the most exact first.
pub(super) const SOURCES: usize = 3;
pub(super) const METRICS: usize = 0;
pub(super) const SPANS: usize = 1;
pub(super) const ACCESS: usize = 2;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tick {
    pub(crate) requests: f64,
    pub(crate) errors: f64,
}

/// What is known of one instance over time.
pub(crate) struct Beat {
    pub(crate) instance: Arc<Instance>,
    /// The place in the order of arrival.
    pub(super) place: usize,
    /// Unix time in seconds.
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(super) last_metrics: Option<f64>,
    /// Whether it exported metrics and no longer does.
    pub(super) has_ended: bool,
    pub(super) sources: [Option<Ring<Tick>>; SOURCES],
}

impl Beat {
    /// Requests by second up to `end`.
    pub(crate) fn window(&self, end: u64) -> Vec<Tick> {
        let ring = self.sources.iter().flatten().next();
        ring.map_or_else(|| vec![Tick::default(); SECONDS], |ring| ring.window(end))
    }

    /// Whether it exported metrics and no longer does.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}
