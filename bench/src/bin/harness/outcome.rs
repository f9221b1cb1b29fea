//! Figures of both, round by round, and how they are shown.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result};
use bench::{Spread, Table};
use serde_json::{Value, json};

use crate::server::Kind;

/// What was measured in one turn: names with their unit, and values.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// The figures of one part of the benchmark.
pub(crate) struct Comparison {
    title: String,
    kinds: Vec<Kind>,
    /// The names, in the order in which they are shown.
    names: Vec<&'static str>,
    figures: BTreeMap<(&'static str, Kind), Vec<f64>>,
}

impl Comparison {
    /// Lets all take turns.
    pub(crate) fn run(
        title: &str,
        kinds: &[Kind],
        rounds: u32,
        measure: &dyn Fn(Kind) -> Result<Figures>,
    ) -> Result<Self> {
        let mut comparison = Self {
            title: title.to_owned(),
            kinds: kinds.to_vec(),
            names: Vec::new(),
            figures: BTreeMap::new(),
        };
        for _ in 0..rounds {
            for &kind in kinds {
                eprint!(".");
                let turn = measure(kind).with_context(|| format!("{title}, {kind}"))?;
                for (name, value) in turn {
                    if !comparison.names.contains(&name) {
                        comparison.names.push(name);
                    }
                    comparison
                        .figures
                        .entry((name, kind))
                        .or_default()
                        .push(value);
                }
            }
        }
        Ok(comparison)
    }

    fn spread(&self, name: &'static str, kind: Kind) -> Option<Spread> {
        let figures = self.figures.get(&(name, kind))?;
        Some(figures.iter().copied().collect())
    }

    pub(crate) fn to_json(&self) -> Value {
        let figures = |kind: Kind| {
            let of_kind = self
                .names
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.spread(name, kind)?.to_json())));
            Value::Object(of_kind.collect())
        };
        let programs: serde_json::Map<_, _> = self
            .kinds
            .iter()
            .map(|kind| (kind.to_string(), figures(*kind)))
            .collect();
        json!({ "title": self.title, "programs": programs })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(ToString::to_string).collect();
        let mut headings = vec![self.title.as_str()];
        headings.extend(kinds.iter().map(String::as_str));
        let mut table = Table::new(&headings);
        for name in &self.names {
            let mut row = vec![format!("  {name}")];
            row.extend(self.kinds.iter().map(|kind| {
                let spread = self.spread(name, *kind);
                // Counts are whole.
                let decimals = usize::from(name.contains("ms") || name.contains("ratio"));
                spread.map_or_else(String::new, |spread| format!("{spread:.decimals$}"))
            }));
            table.row(&row);
        }
        table.fmt(formatter)
    }
}
