//! Which packages a lock file names.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};

use super::vendored::{self, Service};

/// Asserts that each package of the service's lock file is still there in the same version.
pub(super) fn assert_nothing_moved(service: &Service) -> Result<()> {
    let before = locked(&vendored::source().join("Cargo.lock"))?;
    let after = locked(&service.directory().join("Cargo.lock"))?;
    let moved: Vec<_> = before.difference(&after).collect();
    assert!(moved.is_empty(), "{moved:#?}");
    Ok(())
}

/// Name and version of each package.
fn locked(path: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let packages = text.split("[[package]]\n").skip(1);
    Ok(packages
        .map(|package| package.lines().take(2).collect::<Vec<_>>().join(", "))
        .collect())
}
