//! Figures of both servers in each round, and their output.

use std::{fmt, time::Duration};

use anyhow::{Context, Result};
use bench::{Goal, Row, Spread, Table, row::Better};

use crate::server::Kind;

/// The figures of one turn. All turns of a part have the same figures.
pub(crate) type Figures = Vec<Figure>;

/// One figure.
pub(crate) struct Figure {
    what: &'static str,
    unit: &'static str,
    value: f64,
    better: Better,
    goal: Option<Goal>,
}

impl Figure {
    /// A figure where lower is better. `unit` is empty for counts.
    pub(crate) fn new(what: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            what,
            unit,
            value,
            better: Better::Lower,
            goal: None,
        }
    }

    /// A count.
    pub(crate) fn count(what: &'static str, count: u64) -> Self {
        Self::new(what, "", count as f64)
    }

    /// A time in milliseconds. `None` means that the event never happened.
    pub(crate) fn time(what: &'static str, time: impl Into<Option<Duration>>) -> Self {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let time = time.into().map_or(f64::INFINITY, milliseconds);
        Self::new(what, "ms", time)
    }

    pub(crate) fn higher_is_better(self) -> Self {
        Self {
            better: Better::Higher,
            ..self
        }
    }

    /// Sets the goal for our figure.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }
}

/// Lost requests that a client may retry (RFC 9112, section 9.3.1).
pub(crate) const REUSED: &str = "  lost on reused connections";

/// The figures of one part of the benchmark.
pub(crate) struct Comparison {
    title: String,
    peer: Option<Kind>,
    rows: Vec<Row>,
}

impl Comparison {
    /// Runs the rounds. Our server is first in each.
    pub(crate) fn run(
        title: &str,
        peer: Option<Kind>,
        rounds: u32,
        measure: &dyn Fn(Kind) -> Result<Figures>,
    ) -> Result<Self> {
        let turn = |kind: Kind| {
            eprint!(".");
            measure(kind).with_context(|| format!("{title}, {}", kind.name()))
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(turn(Kind::Ours)?);
            if let Some(peer) = peer {
                theirs.push(turn(peer)?);
            }
        }
        let figures = ours.first().into_iter().flatten().enumerate();
        let rows = figures.map(|(index, figure)| {
            let rounds = |turns: &[Figures]| -> Vec<f64> {
                turns.iter().map(|turn| turn[index].value).collect()
            };
            let Figure { what, unit, .. } = figure;
            let row = match peer {
                Some(peer) => {
                    Row::against(*what, unit, &rounds(&ours), peer.name(), &rounds(&theirs))
                }
                None => Row::new(*what, unit, &rounds(&ours)),
            };
            Row {
                better: figure.better,
                goal: figure.goal,
                ..row
            }
        });
        Ok(Self {
            title: title.to_owned(),
            peer,
            rows: rows.collect(),
        })
    }

    /// The rows, labelled with the title of this part.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Row> {
        let Self { title, rows, .. } = self;
        rows.into_iter().map(move |row| Row {
            what: format!("{title}: {}", row.what.trim_start()),
            ..row
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut headings = vec![self.title.as_str(), Kind::Ours.name()];
        headings.extend(self.peer.map(Kind::name));
        let mut table = Table::new(&headings);
        for row in &self.rows {
            let Row { what, unit, .. } = row;
            // Counts are integers.
            let decimals = usize::from(!unit.is_empty() && unit != "KiB");
            let separator = if unit.is_empty() { "" } else { ", " };
            let figure = |spread: &Spread| format!("{spread:.decimals$}");
            let mut cells = vec![format!("  {what}{separator}{unit}"), figure(&row.ours)];
            cells.extend(row.peer.iter().map(|peer| figure(&peer.figure)));
            table.row(&cells);
        }
        table.fmt(formatter)
    }
}
