//! What did not arrive, and what is no longer here.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use crate::{identity::Key, state};

/// Kinds of losses of senders that are shown at most.
const MAX_KINDS: usize = 24;

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
    /// What senders count of their own losses, as what was lost and how much.
    pub(crate) by_senders: BTreeMap<String, f64>,
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
        by_senders: by_senders(state),
        requests: state.kept.requests(),
        spans: state.kept.spans().len(),
        logs: state.kept.logs().len(),
        data_points: state.totals.data_points(),
    }
}

fn by_senders(state: &state::State) -> BTreeMap<String, f64> {
    let mut losses = BTreeMap::new();
    for (key, series) in state.totals.iter(Instant::now()) {
        let Some((what, sum)) = loss(key).zip(series.sum()) else {
            continue;
        };
        let count = sum.amount().as_f64();
        if count > 0.0 && (losses.len() < MAX_KINDS || losses.contains_key(&what)) {
            *losses.entry(what).or_default() += count;
        }
    }
    losses
}

/// What a series counts if that is a loss: the [metrics of an SDK] with an error, measurements beyond
/// the [limit of series], and incidents of the metric store.
///
/// [metrics of an SDK]: https://opentelemetry.io/docs/specs/semconv/otel/sdk-metrics/
/// [limit of series]: https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute
fn loss(key: &Key) -> Option<String> {
    let find = |name: &str| {
        let mut attributes = key.attributes.iter();
        let found = attributes.find(|(key, _)| key.replace('_', ".") == name)?;
        Some(found.1.as_str())
    };
    let metric = key.metric.replace('_', ".");
    if find("otel.metric.overflow") == Some("true") {
        return Some(format!(
            "measurements of {} in no series of their own",
            key.metric
        ));
    }
    if metric.starts_with("multiprocess.incidents") {
        return Some(format!(
            "incidents of the metric store: {}",
            find("kind")?.replace('_', " ")
        ));
    }
    let of_sdk = metric.strip_prefix("otel.sdk.")?;
    let error = find("error.type").filter(|error| !error.is_empty())?;
    Some(format!("{of_sdk}: {error}"))
}
