//! A temporary directory for a test or a benchmark.

use std::{
    env, fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::{Context, Result};

/// A new directory that only the current user can access. Dropping this removes it with its contents.
///
/// Its path is short enough for a Unix domain socket.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Creates it in the system's temporary directory, with `name` in its name.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created.
    pub fn new(name: &str) -> Result<Self> {
        Self::below(&env::temp_dir(), name)
    }

    /// Creates it in `/dev/shm`, the default location of the metric store.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created.
    pub fn in_memory(name: &str) -> Result<Self> {
        Self::below(Path::new("/dev/shm"), name)
    }

    fn below(parent: &Path, name: &str) -> Result<Self> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let number = CREATED.fetch_add(1, Relaxed);
        let path = parent.join(format!("e2e-{}-{number}-{name}", process::id()));
        let created = fs::DirBuilder::new().mode(0o700).create(&path);
        created.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A subdirectory. Creates it unless it exists.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                eprintln!("cannot remove {}: {error}", self.0.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_private_and_is_removed_with_its_contents() {
        for temporary in [Temporary::new("private"), Temporary::in_memory("private")] {
            let temporary = temporary.unwrap();
            let path = temporary.path().to_owned();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            let inner = temporary.directory("inner").unwrap();
            assert_eq!(temporary.directory("inner").unwrap(), inner);
            fs::write(inner.join("file"), "").unwrap();
            drop(temporary);
            assert!(!path.exists());
        }
    }
}
