//! The directory of a service that names none.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use nix::unistd::{AccessFlags, access, geteuid};

use crate::{error::DirectoryError, home, identity};

/// Directories that one user's services may have at once.
const LIMIT: u32 = 1000;
/// How often a directory is removed in which others create files.
const ATTEMPTS: usize = 10;

/// Holds the lowest directory of this user that no run uses, so that runs which were killed leave
/// no more directories behind than there ever were runs at once.
pub(crate) fn claim<T>(
    hold: impl Fn(PathBuf) -> Result<T, DirectoryError>,
) -> Result<T, DirectoryError> {
    let parent = parent();
    let user = geteuid();
    for number in 0..LIMIT {
        let path = parent.join(format!("prometheus-multiproc-{user}-{number}"));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Anybody can put something of that name into a shared parent.
                let private = fs::symlink_metadata(&path).is_ok_and(|found| {
                    found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o077 == 0
                });
                if !private || has_live_process(&path) {
                    continue;
                }
            }
            Err(error) => return Err(DirectoryError::io(&path, "create it")(error)),
        }
        match hold(path) {
            Err(DirectoryError::InUse { .. }) => {}
            // Another run ended and removed it just now.
            Err(error) if error.is_not_found() => {}
            result => return result,
        }
    }
    let action = "find a free directory name in it";
    Err(DirectoryError::io(&parent, action)(
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// Removes a directory that this process holds. The name is free first, and then the files go, so
/// that the next run never finds a part of them.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    // Another thread may still remove what had the name before.
    static REMOVED: AtomicU32 = AtomicU32::new(0);
    let number = REMOVED.fetch_add(1, Relaxed);
    let removed = path.with_extension(format!("removed-{}-{number}", std::process::id()));
    fs::rename(path, &removed)?;
    for _ in 1..ATTEMPTS {
        match fs::remove_dir_all(&removed) {
            // Somebody who saw the old name has created a file in it just now.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            result => return result,
        }
    }
    fs::remove_dir_all(&removed)
}

fn parent() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let writable = |path: &PathBuf| {
        path.is_absolute() && access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
    };
    [runtime, Some(PathBuf::from("/dev/shm"))]
        .into_iter()
        .flatten()
        .find(writable)
        .unwrap_or_else(std::env::temp_dir)
}

/// Whether a worker of a master that was killed is still at work in the directory.
fn has_live_process(path: &Path) -> bool {
    home::identifiers(path).is_ok_and(|all| all.iter().any(|name| identity::is_held(path, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_run_is_removed_while_that_of_the_run_before_still_is() {
        let parent = std::env::temp_dir().join(format!("temporary-{}", std::process::id()));
        let path = parent.join("prometheus-multiproc-0-0");
        let before = path.with_extension(format!("removed-{}", std::process::id()));
        for path in [&path, &before] {
            fs::create_dir_all(path.join("worker-0")).unwrap();
        }
        remove(&path).unwrap();
        assert!(!path.exists());
        fs::remove_dir_all(&parent).unwrap();
    }
}
