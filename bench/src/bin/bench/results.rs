//! All figures, as they are kept.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use bench::Section;
use serde::{Deserialize, Serialize};

/// All figures.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// By the program that measured them.
    pub(crate) parts: BTreeMap<String, Part>,
}

/// The figures of one program.
#[derive(Serialize, Deserialize)]
pub(crate) struct Part {
    /// The day.
    pub(crate) measured: String,
    /// What was measured.
    pub(crate) commit: String,
    /// On what.
    pub(crate) machine: String,
    /// Processes that wanted to run on average, in the minute before and in the last one.
    pub(crate) load: [f64; 2],
    /// What was found.
    pub(crate) sections: Vec<Section>,
}

impl Results {
    /// Reads the figures of an earlier run, if there are any.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(json) => serde_json::from_str(&json)
                .with_context(|| format!("{} holds no results", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.parts.values().flat_map(|part| &part.sections)
    }
}
