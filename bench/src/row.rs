//! One row of a benchmark: our figure, the peer's figure of the same run, and the goal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Spread;

/// One row of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The subject of the measurement, such as `scrape, 8 workers x 10,000 counters`.
    pub what: String,
    /// The unit of the figures, such as `ns`, `MiB` or `requests/s`.
    pub unit: String,
    /// Whether lower or higher figures are better.
    pub better: Better,
    /// Our figure.
    pub ours: Spread,
    /// The peer to compare with.
    pub peer: Option<Peer>,
    /// The goal for our figure.
    pub goal: Option<Goal>,
}

/// The figure of a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The name of the peer, such as `gunicorn`.
    pub name: String,
    /// Its figure.
    pub figure: Spread,
    /// The ratio of our figure to the peer's in each round. `None` if the peer's figure is zero.
    pub ratio: Option<Spread>,
}

/// Whether lower or higher figures are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Lower is better, as for times, memory and losses.
    Lower,
    /// Higher is better, as for requests per second.
    Higher,
}

/// A goal, which three quarters of the rounds have to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Our figure, in the unit of the row.
    AtMost(f64),
    /// Our figure, in the unit of the row.
    AtLeast(f64),
    /// The ratio to the peer.
    RatioAtMost(f64),
    /// The ratio to the peer.
    RatioAtLeast(f64),
}

impl Row {
    /// A row with our figures, one for each round. Lower is better by default.
    pub fn new(what: impl Into<String>, unit: &str, ours: &[f64]) -> Self {
        Self {
            what: what.into(),
            unit: unit.to_owned(),
            better: Better::Lower,
            ours: ours.iter().copied().collect(),
            peer: None,
            goal: None,
        }
    }

    /// A row that compares our figures with the peer's, round by round. Both sides took turns.
    pub fn against(
        what: impl Into<String>,
        unit: &str,
        ours: &[f64],
        peer: &str,
        theirs: &[f64],
    ) -> Self {
        let pairs = ours.iter().zip(theirs);
        let ratio: Spread = pairs.map(|(ours, theirs)| ours / theirs).collect();
        Self {
            peer: Some(Peer {
                name: peer.to_owned(),
                figure: theirs.iter().copied().collect(),
                ratio: ratio.is_finite().then_some(ratio),
            }),
            ..Self::new(what, unit, ours)
        }
    }

    /// Declares that higher figures are better.
    #[must_use]
    pub fn higher_is_better(self) -> Self {
        Self {
            better: Better::Higher,
            ..self
        }
    }

    /// Sets the goal.
    #[must_use]
    pub fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    /// The ratio of our median to the peer's, if they are comparable.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.peer.as_ref()?.ratio?.median)
    }

    /// Whether three quarters of the rounds reached the goal. `None` without a goal.
    ///
    /// Results that have no quartiles are judged by their median.
    pub fn is_reached(&self) -> Option<bool> {
        let goal = self.goal?;
        let figure = match goal {
            Goal::AtMost(_) | Goal::AtLeast(_) => Some(self.ours),
            Goal::RatioAtMost(_) | Goal::RatioAtLeast(_) => {
                self.peer.as_ref().and_then(|peer| peer.ratio)
            }
        };
        let Some(figure) = figure else {
            return Some(false);
        };
        let of = |quartile: f64| match quartile.is_nan() {
            true => figure.median,
            false => quartile,
        };
        Some(match goal {
            Goal::AtMost(bound) | Goal::RatioAtMost(bound) => of(figure.upper_quartile) <= bound,
            Goal::AtLeast(bound) | Goal::RatioAtLeast(bound) => of(figure.lower_quartile) >= bound,
        })
    }

    /// Whether the peer is better by more than 5 %, which exceeds the difference between two runs of the same program.
    /// Without a ratio, whether the peer is better at all. `None` without a peer.
    pub fn is_behind(&self) -> Option<bool> {
        let peer = self.peer.as_ref()?;
        let (ours, theirs) = (self.ours.median, peer.figure.median);
        Some(match (self.better, self.ratio()) {
            (Better::Lower, Some(ratio)) => ratio > 1.05,
            (Better::Higher, Some(ratio)) => ratio < 1.0 / 1.05,
            (Better::Lower, None) => ours > theirs,
            (Better::Higher, None) => ours < theirs,
        })
    }
}

/// The text in a table, such as `<= 20`.
impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bound, value) = match *self {
            Self::AtMost(value) => ("<=", number(value)),
            Self::AtLeast(value) => (">=", number(value)),
            Self::RatioAtMost(value) => ("<=", factor(value)),
            Self::RatioAtLeast(value) => (">=", factor(value)),
        };
        write!(formatter, "{bound} {value}")
    }
}

/// A readable ratio: `1.05 x`, or `1/200` if it is small.
pub fn factor(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.1 {
        format!("1/{:.0}", 1.0 / ratio)
    } else if ratio >= 10.0 {
        format!("{ratio:.0} x")
    } else {
        format!("{ratio:.2} x")
    }
}

/// A figure with three significant digits, but at least all digits before the point. Integers have no point.
pub fn number(figure: f64) -> String {
    if !figure.is_finite() {
        return "never".to_owned();
    }
    let decimals = match figure.abs() {
        size if size.fract() == 0.0 => 0,
        size if size < 0.0995 => 3,
        size if size < 9.95 => 2,
        size if size < 99.5 => 1,
        _ => 0,
    };
    let digits = format!("{figure:.decimals$}");
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if left.is_multiple_of(3) && index > 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_compared_one_by_one() {
        let row = Row::against("", "ns", &[1.5, 4.0, 9.0], "peer", &[1.0, 2.0, 3.0]);
        assert_eq!(row.ratio(), Some(2.0));
        assert_eq!(row.is_behind(), Some(true));
        assert_eq!(row.is_reached(), None);
        let reached = |goal| row.clone().goal(goal).is_reached();
        assert_eq!(reached(Goal::RatioAtMost(3.0)), Some(true));
        assert_eq!(reached(Goal::RatioAtMost(2.9)), Some(false));
        assert_eq!(reached(Goal::AtMost(9.0)), Some(true));
        assert_eq!(reached(Goal::AtLeast(1.6)), Some(false));
        assert_eq!(row.higher_is_better().is_behind(), Some(false));
        let same = Row::against("", "ns", &[0.9, 2.1, 3.1], "peer", &[1.0, 2.0, 3.0]);
        assert_eq!(same.is_behind(), Some(false));
    }

    #[test]
    fn a_zero_of_the_peer_has_no_ratio_and_rows_survive_json() {
        let row = Row::against("lost", "requests", &[0.0], "peer", &[0.0]).goal(Goal::AtMost(0.0));
        assert_eq!((row.ratio(), row.is_reached()), (None, Some(true)));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    }

    #[test]
    fn figures_have_three_significant_digits() {
        let written = [
            0.0,
            0.0123,
            1.234,
            9.96,
            45.67,
            320.4,
            12_345.6,
            -1_234_567.0,
        ]
        .map(number);
        let expected = [
            "0",
            "0.012",
            "1.23",
            "10.0",
            "45.7",
            "320",
            "12,346",
            "-1,234,567",
        ];
        assert_eq!(written, expected);
        assert_eq!([0.005, 0.98, 14.2].map(factor), ["1/200", "0.98 x", "14 x"]);
        assert_eq!(Goal::RatioAtMost(0.005).to_string(), "<= 1/200");
    }
}
