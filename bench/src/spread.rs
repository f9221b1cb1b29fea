//! A figure with several measurements.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Median, quartiles and range of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median: the middle value, or the mean of the two middle values. NaN if there are none.
    #[serde(deserialize_with = "number_or_never")]
    pub median: f64,
    /// The minimum.
    #[serde(deserialize_with = "number_or_never")]
    pub min: f64,
    /// The maximum.
    #[serde(deserialize_with = "number_or_never")]
    pub max: f64,
    /// A quarter of the figures is below it.
    #[serde(default = "unknown", skip_serializing_if = "is_unknown")]
    #[serde(deserialize_with = "number_or_never")]
    pub lower_quartile: f64,
    /// A quarter of the figures is above it. NaN in results from before it was kept.
    #[serde(default = "unknown", skip_serializing_if = "is_unknown")]
    #[serde(deserialize_with = "number_or_never")]
    pub upper_quartile: f64,
}

fn is_unknown(figure: &f64) -> bool {
    figure.is_nan()
}

fn unknown() -> f64 {
    f64::NAN
}

impl Spread {
    /// False if there are no measurements or something was divided by zero.
    pub fn is_finite(&self) -> bool {
        [self.median, self.min, self.max]
            .iter()
            .all(|figure| figure.is_finite())
    }

    /// Between which figures the middle half lies. The range, if the quartiles are not known.
    pub fn middle_half(&self) -> (f64, f64) {
        if self.upper_quartile.is_nan() {
            return (self.min, self.max);
        }
        (self.lower_quartile, self.upper_quartile)
    }
}

/// JSON has no infinity, so it writes `null`. An infinite time means that the event never happened.
fn number_or_never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    Ok(number.unwrap_or(f64::INFINITY))
}

impl FromIterator<f64> for Spread {
    fn from_iter<T: IntoIterator<Item = f64>>(figures: T) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let count = figures.len();
        Self {
            median: (at(count.saturating_sub(1) / 2) + at(count / 2)) / 2.0,
            min: at(0),
            max: at(count.saturating_sub(1)),
            lower_quartile: at(count.saturating_sub(1) / 4),
            upper_quartile: at((3 * count).div_ceil(4).saturating_sub(1)),
        }
    }
}

/// Median and middle half, `1.10 [1.05 .. 1.20]`, with as many decimals as the format says.
impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = formatter.precision().unwrap_or(2);
        let (median, (from, to)) = (self.median, self.middle_half());
        write!(
            formatter,
            "{median:.decimals$} [{from:.decimals$} .. {to:.decimals$}]"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let odd: Spread = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!(format!("{odd:.1}"), "2.0 [1.0 .. 3.0]");
        let even: Spread = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!(even.median, 2.5);
        assert_eq!(even.middle_half(), (1.0, 3.0));
        let many: Spread = (0..=100).map(f64::from).collect();
        assert_eq!(many.middle_half(), (25.0, 75.0));
    }

    #[test]
    fn an_infinite_time_survives_json() {
        let spread: Spread = [1.0, f64::INFINITY, f64::INFINITY].into_iter().collect();
        let json = serde_json::to_string(&spread).unwrap();
        assert_eq!(
            json,
            r#"{"median":null,"min":1.0,"max":null,"lower_quartile":1.0,"upper_quartile":null}"#
        );
        assert_eq!(serde_json::from_str::<Spread>(&json).unwrap(), spread);
        let old: Spread = serde_json::from_str(r#"{"median":2.0,"min":1.0,"max":3.0}"#).unwrap();
        assert_eq!(old.middle_half(), (1.0, 3.0));
    }

    #[test]
    fn nothing_measured_is_no_number() {
        assert!(
            std::iter::empty::<f64>()
                .collect::<Spread>()
                .median
                .is_nan()
        );
    }
}
