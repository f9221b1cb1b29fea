//! Latencies of requests by second.

use std::collections::BTreeMap;

use super::{
    FIRST_EXPORT,
    beat::{ACCESS, METRICS, SOURCES, SPANS},
};
use crate::{ring::Ring, totals::Change, value::Value};

/// Series whose buckets are remembered.
const MAX_SERIES: usize = 500;

/// Upper bounds of latencies in seconds, a row of the heat map each. The last row has no bound.
pub(crate) const LATENCIES: [f64; 19] = [
    1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0,
];

/// Requests by latency.
pub(crate) type Rows = [u32; LATENCIES.len() + 1];

#[derive(Default)]
pub(super) struct Latencies {
    sources: [Option<Ring<Rows>>; SOURCES],
    /// Buckets of the durations of requests at the last export, by attributes.
    buckets: BTreeMap<Vec<(String, String)>, Vec<u64>>,
}

impl Latencies {
    /// Adds one request.
    pub(super) fn add(&mut self, source: usize, time: f64, seconds: f64) {
        let rows = self.sources[source].get_or_insert_default();
        if let Some(rows) = rows.at(time as u64) {
            rows[row(seconds)] += 1;
        }
    }

    /// Adds what the buckets of a histogram have gained since the last export.
    pub(super) fn add_buckets(&mut self, change: &Change, now: f64) {
        let Value::Distribution(distribution) = &change.sum else {
            return;
        };
        let (bounds, counts) = distribution.buckets();
        let is_known = self.buckets.contains_key(&change.attributes);
        if !is_known && self.buckets.len() >= MAX_SERIES {
            return;
        }
        let before = self.buckets.entry(change.attributes.clone()).or_default();
        let is_flood = !is_known && distribution.count as f64 > FIRST_EXPORT;
        let rows = self.sources[METRICS].get_or_insert_default();
        if let Some(rows) = rows.at(now as u64).filter(|_| !is_flood) {
            for (bucket, count) in counts.iter().enumerate() {
                let gained = count.saturating_sub(before.get(bucket).copied().unwrap_or(0));
                let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
                let row = &mut rows[row(bound)];
                *row = row.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX));
            }
        }
        *before = counts.to_vec();
    }

    /// Latencies by second up to `end`, from the source with the finest ones.
    pub(super) fn window(&self, end: u64) -> Vec<Rows> {
        let sources = [SPANS, ACCESS, METRICS].into_iter();
        let mut rings = sources.filter_map(|source| self.sources[source].as_ref());
        rings
            .next()
            .map(|ring| ring.window(end))
            .unwrap_or_default()
    }
}

fn row(seconds: f64) -> usize {
    LATENCIES.partition_point(|bound| *bound < seconds)
}

/// The latency below which the share `q` of requests is, interpolated within its row.
pub(crate) fn quantile(rows: &Rows, q: f64) -> Option<f64> {
    let total: f64 = rows.iter().map(|count| f64::from(*count)).sum();
    let rank = q * total;
    let mut below = 0.0;
    for (index, count) in rows.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= rank {
            let upper = LATENCIES.get(index).copied().unwrap_or(20.0);
            let lower = index.checked_sub(1).map_or(0.0, |index| LATENCIES[index]);
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_row_of_its_bound_and_quantiles_are_between_bounds() {
        assert_eq!(row(0.0), 0);
        assert_eq!(row(1e-3), 6);
        assert_eq!(row(1.1e-3), 7);
        assert_eq!(row(1e9), LATENCIES.len());
        let mut rows = Rows::default();
        assert_eq!(quantile(&rows, 0.5), None);
        rows[6] = 10;
        let median = quantile(&rows, 0.5).unwrap_or_default();
        assert!((median - 0.75e-3).abs() < 1e-9, "{median}");
    }
}
