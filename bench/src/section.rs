//! A section of rows, as a benchmark prints it and docs/benchmarks/ has it.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{
    Row, Spread, Table,
    row::{factor, number},
};

/// Rows that were measured with the same method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// The method of the measurement, in one or two sentences.
    pub method: String,
    /// The command that measures it.
    pub command: String,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Section {
    /// A section without rows.
    pub fn new(title: &str, method: &str, command: &str) -> Self {
        Self {
            title: title.to_owned(),
            method: method.to_owned(),
            command: command.to_owned(),
            rows: Vec::new(),
        }
    }

    /// The headings of [`Section::cells`].
    pub const HEADINGS: [&str; 7] = ["", "ours", "peer", "peer's figure", "ratio", "goal", ""];

    /// The cells of a row, for the terminal and for docs/benchmarks/.
    pub fn cells(row: &Row) -> [String; 7] {
        let figure = |spread: &Spread| match row.unit.as_str() {
            "" => spread_of(spread, number, ""),
            unit => spread_of(spread, number, &format!(" {unit}")),
        };
        let peer = row.peer.as_ref();
        let ratio = peer.and_then(|peer| peer.ratio);
        [
            row.what.clone(),
            figure(&row.ours),
            peer.map(|peer| peer.name.clone()).unwrap_or_default(),
            peer.map(|peer| figure(&peer.figure)).unwrap_or_default(),
            ratio
                .map(|ratio| spread_of(&ratio, factor, ""))
                .unwrap_or_default(),
            row.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            match row.is_reached() {
                None => "",
                Some(true) => "reached",
                Some(false) => "MISSED",
            }
            .to_owned(),
        ]
    }
}

/// The median with its unit, and the middle half if the measurements differ.
fn spread_of(spread: &Spread, write: fn(f64) -> String, unit: &str) -> String {
    let (median, (from, to)) = (write(spread.median), spread.middle_half());
    if from == to {
        return format!("{median}{unit}");
    }
    format!("{median}{unit} [{} .. {}]", write(from), write(to))
}

/// The section as a table for a terminal.
impl fmt::Display for Section {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&Self::HEADINGS);
        for row in &self.rows {
            table.row(&Self::cells(row));
        }
        let Self { title, method, .. } = self;
        writeln!(formatter, "{title}\n{method}\n\n{table}")
    }
}

/// Writes sections as JSON, for [`read`].
///
/// # Errors
///
/// Returns an error if the file cannot be written.
pub fn write(path: &Path, sections: &[Section]) -> Result<()> {
    let json = serde_json::to_string_pretty(sections)?;
    fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the output of [`write()`].
///
/// # Errors
///
/// Returns an error if the file cannot be read or has another content.
pub fn read(path: &Path) -> Result<Vec<Section>> {
    let json =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&json)
        .with_context(|| format!("{} is not a result file of a benchmark", path.display()))
}
