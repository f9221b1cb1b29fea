//! What did not arrive, and what is no longer here.

use serde::Serialize;

use crate::state;

#[derive(Serialize)]
pub(crate) struct Losses {
    /// Requests that were answered with an error.
    pub(crate) refused_requests: u64,
    /// Data points beyond the limit of series.
    pub(crate) refused_data_points: u64,
    /// Spans without valid ids.
    pub(crate) refused_spans: u64,
    /// Spans and records that made room for later ones.
    pub(crate) forgotten_spans: u64,
    pub(crate) forgotten_logs: u64,
    /// Export requests that were accepted.
    pub(crate) requests: u64,
    pub(crate) spans: usize,
    pub(crate) logs: usize,
    pub(crate) data_points: u64,
}

pub(crate) fn losses(state: &state::State) -> Losses {
    Losses {
        refused_requests: state.kept.refused(),
        refused_data_points: state.totals.overflowed(),
        refused_spans: state.invalid_spans,
        forgotten_spans: state.kept.forgotten_spans(),
        forgotten_logs: state.kept.forgotten_logs(),
        requests: state.kept.requests(),
        spans: state.kept.spans().len(),
        logs: state.kept.logs().len(),
        data_points: state.totals.data_points(),
    }
}
