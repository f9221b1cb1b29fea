//! The file with all results.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use bench::{Row, Section};
use serde::{Deserialize, Serialize};

/// All results.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Keyed by the program that measured them.
    pub(crate) parts: BTreeMap<String, Part>,
}

/// The results of one program.
#[derive(Serialize, Deserialize)]
pub(crate) struct Part {
    /// The date.
    pub(crate) measured: String,
    /// The measured commit.
    pub(crate) commit: String,
    /// The machine.
    pub(crate) machine: String,
    /// The share of processor time that nothing used before the measurement, 0 to 1. `None` in
    /// results from before this was required.
    #[serde(default)]
    pub(crate) idle: Option<f64>,
    /// The measured figures.
    pub(crate) sections: Vec<Section>,
}

impl Results {
    /// Reads the results of earlier runs, if there are any.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(json) => serde_json::from_str(&json)
                .with_context(|| format!("{} is not a result file", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// The row with this name, in the section with this title, that is compared with this peer.
    pub(crate) fn row(&self, [title, what, peer]: [&str; 3]) -> Result<&Row> {
        let sections = self.parts.values().flat_map(|part| &part.sections);
        let mut rows = sections
            .filter(|section| section.title == title)
            .flat_map(|section| &section.rows);
        let named = |row: &&Row| {
            row.what == what && row.peer.as_ref().map_or("", |peer| &peer.name) == peer
        };
        rows.find(named)
            .with_context(|| format!("no row `{what}` beside `{peer}` in `{title}`"))
    }
}
