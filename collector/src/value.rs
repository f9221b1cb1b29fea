//! The value of a data point: a number, or a distribution of observations.

use std::fmt;

use crate::exponential::Exponential;

/// Maximum number of buckets. Of a larger histogram only count, sum, minimum and maximum are kept.
const MAX_BUCKETS: usize = 200;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(Number),
    Distribution(Distribution),
}

/// A number. Integers stay integers, so that totals are exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    /// Upper bounds of all buckets but the last, which is unbounded.
    bounds: Vec<f64>,
    buckets: Vec<u64>,
    /// Instead of explicit buckets.
    exponential: Option<Exponential>,
}

impl Value {
    /// Adds the values of two streams, or of a stream before and after a restart. Values of different
    /// kinds never meet here, because they are different series.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a.plus(*b)),
            (Self::Distribution(a), Self::Distribution(b)) => Self::Distribution(a.plus(b)),
            _ => self.clone(),
        }
    }

    /// Whether a cumulative stream must have restarted to go from `earlier` to this value.
    pub(crate) fn is_below(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Number(new), Self::Number(old)) => new.as_f64() < old.as_f64(),
            (Self::Distribution(new), Self::Distribution(old)) => new.count < old.count,
            _ => false,
        }
    }

    /// Whether nothing has changed. Unlike `==`, NaN is the same as NaN.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(Number::Double(a)), Self::Number(Number::Double(b))) => {
                a == b || a.is_nan() && b.is_nan()
            }
            (a, b) => a == b,
        }
    }

    /// The number, or the number of observations.
    pub(crate) fn amount(&self) -> Number {
        match self {
            Self::Number(number) => *number,
            Self::Distribution(distribution) => {
                Number::Int(i64::try_from(distribution.count).unwrap_or(i64::MAX))
            }
        }
    }
}

impl Number {
    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a
                .checked_add(b)
                .map_or(Self::Double(a as f64 + b as f64), Self::Int),
            (a, b) => Self::Double(a.as_f64() + b.as_f64()),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a
                .checked_sub(b)
                .map_or(Self::Double(a as f64 - b as f64), Self::Int),
            (a, b) => Self::Double(a.as_f64() - b.as_f64()),
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => fmt::Display::fmt(value, f),
            // Four decimals without trailing zeros are easier to read. `+` prints the sign.
            Self::Double(value) if value.abs() < 1e15 => {
                let sign = if f.sign_plus() && *value >= 0.0 {
                    "+"
                } else {
                    ""
                };
                let text = format!("{sign}{value:.4}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            Self::Double(value) => fmt::Display::fmt(value, f),
        }
    }
}

impl Distribution {
    pub(crate) fn new(count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>) -> Self {
        Self {
            count,
            sum,
            min,
            max,
            ..Self::default()
        }
    }

    /// Adds the buckets if they are valid (one more than bounds) and not too many.
    pub(crate) fn with_buckets(mut self, bounds: &[f64], buckets: &[u64]) -> Self {
        if buckets.len() == bounds.len() + 1 && buckets.len() <= MAX_BUCKETS {
            self.bounds = bounds.to_vec();
            self.buckets = buckets.to_vec();
        }
        self
    }

    pub(crate) fn with_exponential(mut self, buckets: Option<Exponential>) -> Self {
        self.exponential = buckets;
        self
    }

    /// The upper bounds of all explicit buckets but the last, and the counts of all.
    pub(crate) fn buckets(&self) -> (&[f64], &[u64]) {
        (&self.bounds, &self.buckets)
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.sum? / self.count as f64)
    }

    /// The quantile `q` (0 to 1), by linear interpolation inside its bucket, like Prometheus'
    /// `histogram_quantile`. It is as exact as the bucket bounds.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        if let Some(exponential) = &self.exponential {
            let quantile = exponential.quantile(q)?;
            let lowest = self.min.unwrap_or(f64::NEG_INFINITY);
            return Some(quantile.max(lowest).min(self.max.unwrap_or(f64::INFINITY)));
        }
        let total: u64 = self
            .buckets
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count));
        let rank = q * total as f64;
        let mut below = 0.0;
        for (index, &count) in self.buckets.iter().enumerate() {
            let count = count as f64;
            if count > 0.0 && below + count >= rank {
                // The first and the last bucket are open. Minimum and maximum limit them.
                let lower = match index {
                    0 => self.min.unwrap_or(0.0),
                    _ => self.bounds[index - 1],
                };
                let upper = self
                    .bounds
                    .get(index)
                    .copied()
                    .or(self.max)
                    .unwrap_or(lower);
                let upper = upper.min(self.max.unwrap_or(upper));
                let lower = lower.max(self.min.unwrap_or(lower)).min(upper);
                return Some(lower + (upper - lower) * ((rank - below) / count));
            }
            below += count;
        }
        None
    }

    fn plus(&self, other: &Self) -> Self {
        let sum = match (self.sum, other.sum) {
            (Some(a), Some(b)) => Some(a + b),
            _ => None,
        };
        let mut total = Self::new(
            self.count.saturating_add(other.count),
            sum,
            least(self.min, other.min, f64::min),
            least(self.max, other.max, f64::max),
        );
        total.exponential = match (&self.exponential, &other.exponential) {
            (Some(a), Some(b)) => Some(a.plus(b)),
            _ => None,
        };
        if self.bounds == other.bounds && self.buckets.len() == other.buckets.len() {
            total.bounds.clone_from(&self.bounds);
            total.buckets = self
                .buckets
                .iter()
                .zip(&other.buckets)
                .map(|(a, b)| a.saturating_add(*b))
                .collect();
        }
        total
    }
}

fn least(a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(pick(a, b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_interpolated_inside_its_bucket() {
        let distribution =
            Distribution::new(10, Some(7.5), None, None).with_buckets(&[0.5, 1.0], &[5, 5, 0]);
        assert_eq!(distribution.quantile(0.5), Some(0.5));
        assert_eq!(distribution.quantile(0.9), Some(0.9));
        assert_eq!(distribution.mean(), Some(0.75));
    }

    #[test]
    fn the_open_last_bucket_ends_at_the_maximum() {
        let distribution =
            Distribution::new(2, Some(30.0), Some(10.0), Some(20.0)).with_buckets(&[1.0], &[0, 2]);
        assert_eq!(distribution.quantile(1.0), Some(20.0));
    }

    #[test]
    fn buckets_that_do_not_match_their_bounds_are_left_out() {
        let distribution = Distribution::new(3, None, None, None).with_buckets(&[1.0], &[1, 1, 1]);
        assert_eq!(distribution.quantile(0.5), None);
    }

    #[test]
    fn integers_that_overflow_become_doubles() {
        let sum = Number::Int(i64::MAX).plus(Number::Int(1));
        assert_eq!(sum, Number::Double(9_223_372_036_854_775_808.0));
        assert_eq!(format!("{:+}", Number::Double(0.5)), "+0.5");
    }
}
