//! One line of a benchmark: a figure of ours, a peer's of the same run, and what is to be reached.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Spread;

/// One line of a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, such as `scrape, 8 workers x 10,000 counters`.
    pub what: String,
    /// Of the figures, such as `ns`, `MiB` or `requests/s`.
    pub unit: String,
    /// Which figures are good ones.
    pub better: Better,
    /// Our figure.
    pub ours: Spread,
    /// Who is compared with.
    pub peer: Option<Peer>,
    /// What is to be reached.
    pub goal: Option<Goal>,
}

/// Somebody else's figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Who it is, such as `gunicorn`.
    pub name: String,
    /// Its figure.
    pub figure: Spread,
    /// Our figure by the peer's, round by round; none where the peer's is zero.
    pub ratio: Option<Spread>,
}

/// Which figures are good ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Times, memory, losses.
    Lower,
    /// Requests per second.
    Higher,
}

/// What a median is to reach.
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
    /// A line with our figures, one for each round. Lower ones are better unless told otherwise.
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

    /// A line that compares: the rounds of both sides, which took turns, are compared one by one.
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

    /// Says that higher figures are better.
    #[must_use]
    pub fn higher_is_better(self) -> Self {
        Self {
            better: Better::Higher,
            ..self
        }
    }

    /// Says what is to be reached.
    #[must_use]
    pub fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }

    /// Our median by the peer's, if both can be compared.
    pub fn ratio(&self) -> Option<f64> {
        Some(self.peer.as_ref()?.ratio?.median)
    }

    /// Whether the goal was reached; `None` without a goal.
    pub fn is_reached(&self) -> Option<bool> {
        let ratio = self.ratio();
        Some(match self.goal? {
            Goal::AtMost(bound) => self.ours.median <= bound,
            Goal::AtLeast(bound) => self.ours.median >= bound,
            Goal::RatioAtMost(bound) => ratio.is_some_and(|ratio| ratio <= bound),
            Goal::RatioAtLeast(bound) => ratio.is_some_and(|ratio| ratio >= bound),
        })
    }

    /// Whether the peer is better by more than a twentieth, which is more than two runs of the same program differ;
    /// or better at all, where no ratio tells. `None` without a peer.
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

/// As it stands in a table: `at most 1/200 of it`, `at most 20`.
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

/// A ratio as a person reads it: `1.05 x`, and `1/200` where it is small.
pub fn factor(ratio: f64) -> String {
    if ratio > 0.0 && ratio < 0.1 {
        format!("1/{:.0}", 1.0 / ratio)
    } else if ratio >= 10.0 {
        format!("{ratio:.0} x")
    } else {
        format!("{ratio:.2} x")
    }
}

/// A figure with three significant digits, or all there are before the point; a whole one without a point.
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
        assert_eq!(reached(Goal::RatioAtMost(2.0)), Some(true));
        assert_eq!(reached(Goal::RatioAtMost(1.9)), Some(false));
        assert_eq!(reached(Goal::AtMost(4.0)), Some(true));
        assert_eq!(reached(Goal::AtLeast(5.0)), Some(false));
        assert_eq!(row.higher_is_better().is_behind(), Some(false));
        let same = Row::against("", "ns", &[0.9, 2.1, 3.1], "peer", &[1.0, 2.0, 3.0]);
        assert_eq!(same.is_behind(), Some(false));
    }

    #[test]
    fn nothing_is_compared_with_zero_and_the_rest_goes_through_json() {
        let row = Row::against("lost", "requests", &[0.0], "peer", &[0.0]).goal(Goal::AtMost(0.0));
        assert_eq!((row.ratio(), row.is_reached()), (None, Some(true)));
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), row);
    }

    #[test]
    fn figures_are_written_for_a_person() {
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
