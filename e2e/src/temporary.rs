//! A directory that goes with the test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Context, Result};

/// A new directory, which is removed when this is dropped.
///
/// Its path is short enough for a Unix domain socket.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Creates it, with `name` in its own.
    ///
    /// # Errors
    ///
    /// When the system's directory for temporary files cannot be written.
    pub fn new(name: &str) -> Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Relaxed);
        let path = env::temp_dir().join(format!("e2e-{}-{number}-{name}", process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left of it is in a directory that the system clears.
        let _ = fs::remove_dir_all(&self.0);
    }
}
