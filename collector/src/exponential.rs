//! Buckets of an exponential histogram, whose bounds are powers of `2^(2^-scale)`
//! (<https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>).

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, exponential_histogram_data_point::Buckets,
};

/// Maximum number of buckets. The SDKs have 160 for each sign.
const MAX_BUCKETS: usize = 2 * 320;

/// Scales of the data model, beyond which bounds are not exact in a double.
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exponential {
    scale: i32,
    zero_count: u64,
    /// Bucket `i` counts values `v` with `base^i < |v| <= base^(i+1)`.
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Exponential {
    /// `None` if there are too many buckets or the scale is unusable.
    pub(crate) fn of(point: &ExponentialHistogramDataPoint) -> Option<Self> {
        let buckets = |buckets: Option<&Buckets>| -> Option<BTreeMap<i32, u64>> {
            let Some(buckets) = buckets else {
                return Some(BTreeMap::new());
            };
            let counts = buckets.bucket_counts.iter().enumerate();
            let counts = counts.filter(|(_, count)| **count > 0);
            counts
                .take(MAX_BUCKETS + 1)
                .map(|(index, count)| {
                    let index = i32::try_from(index).ok()?;
                    Some((buckets.offset.checked_add(index)?, *count))
                })
                .collect()
        };
        let found = Self {
            scale: point.scale,
            zero_count: point.zero_count,
            positive: buckets(point.positive.as_ref())?,
            negative: buckets(point.negative.as_ref())?,
        };
        let is_usable = SCALES.contains(&found.scale)
            && found.positive.len() + found.negative.len() <= MAX_BUCKETS;
        is_usable.then_some(found)
    }

    /// The sum of two histograms, at the coarser scale.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        let scale = self.scale.min(other.scale);
        let merged = |a: &BTreeMap<i32, u64>, b: &BTreeMap<i32, u64>| {
            let mut merged = BTreeMap::new();
            for (buckets, from) in [(a, self.scale), (b, other.scale)] {
                for (index, count) in buckets {
                    // Halving the scale joins neighbours.
                    let total: &mut u64 = merged.entry(index >> (from - scale)).or_default();
                    *total = total.saturating_add(*count);
                }
            }
            merged
        };
        Self {
            scale,
            zero_count: self.zero_count.saturating_add(other.zero_count),
            positive: merged(&self.positive, &other.positive),
            negative: merged(&self.negative, &other.negative),
        }
    }

    /// The quantile `q` (0 to 1), interpolated exponentially inside its bucket, like
    /// Prometheus' `histogram_quantile` of native histograms.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let bound = |index: i32| 2_f64.powf(f64::from(index) * 2_f64.powi(-self.scale));
        let negative = self.negative.iter().rev().map(|(index, count)| {
            let (near, far) = (bound(*index), bound(index.saturating_add(1)));
            (-far, -near, *count)
        });
        let zero = [(0.0, 0.0, self.zero_count)];
        let positive = self
            .positive
            .iter()
            .map(|(index, count)| (bound(*index), bound(index.saturating_add(1)), *count));
        let all: Vec<_> = negative.chain(zero).chain(positive).collect();
        let total: f64 = all.iter().map(|(.., count)| *count as f64).sum();
        let rank = q * total;
        let mut below = 0.0;
        for (lower, upper, count) in all {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                let share = (rank - below) / count;
                return Some(match lower == 0.0 {
                    true => 0.0,
                    false => lower * (upper / lower).powf(share),
                });
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scale: i32, offset: i32, counts: &[u64]) -> Exponential {
        let buckets = Buckets {
            offset,
            bucket_counts: counts.to_vec(),
        };
        Exponential::of(&ExponentialHistogramDataPoint {
            scale,
            zero_count: 1,
            positive: Some(buckets.clone()),
            negative: Some(buckets),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn a_quantile_is_interpolated_inside_its_bucket() {
        // At scale 0 the bucket 1 is from 2 to 4.
        let histogram = of(0, 1, &[4]);
        for (q, expected) in [
            (0.0, -4.0),
            (0.5, 0.0),
            (1.0, 4.0),
            (7.0 / 9.0, 8_f64.sqrt()),
        ] {
            let found = histogram.quantile(q).unwrap();
            assert!((found - expected).abs() < 1e-9, "{q}: {found}");
        }
    }

    #[test]
    fn histograms_of_different_scales_add_up_at_the_coarser_one() {
        // At scale 1 the buckets -1 and 0 are from 0.7 to 1 and from 1 to 1.4.
        let sum = of(0, 0, &[1]).plus(&of(1, -1, &[2, 3]));
        assert_eq!((sum.scale, sum.zero_count), (0, 2));
        assert_eq!(sum.positive, BTreeMap::from([(-1, 2), (0, 4)]));
        assert_eq!(sum.negative, sum.positive);
    }

    #[test]
    fn buckets_that_cannot_be_used_are_left_out() {
        let point = |scale, offset| ExponentialHistogramDataPoint {
            scale,
            positive: Some(Buckets {
                offset,
                bucket_counts: vec![1; 2 * MAX_BUCKETS],
            }),
            ..Default::default()
        };
        for (scale, offset) in [(0, 0), (99, 0), (0, i32::MAX)] {
            assert_eq!(Exponential::of(&point(scale, offset)), None);
        }
    }
}
