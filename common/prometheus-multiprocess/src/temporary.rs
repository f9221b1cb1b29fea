//! The directory of a service that names none.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access, geteuid};

use crate::{error::DirectoryError, home, identity};

/// Directories that one user's services may have at once.
const LIMIT: u32 = 1000;

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
    let removed = path.with_extension(format!("removed-{}", std::process::id()));
    fs::rename(path, &removed)?;
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
