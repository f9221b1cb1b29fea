//! The file with all results.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

use anyhow::{Context, Result};
use bench::Section;
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
    /// Load average before and after the measurement.
    pub(crate) load: [f64; 2],
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

    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.parts.values().flat_map(|part| &part.sections)
    }
}
