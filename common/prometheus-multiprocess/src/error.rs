//! Why a directory of metrics cannot be used.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a directory of metrics could not be prepared or joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another master that runs holds the directory.
    #[error(
        "metrics directory {}: the master process {pid} is using it; stop that one or choose another directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the lock file says about the holder.
        pid: u32,
    },
    /// The path names something else than a directory.
    #[error("metrics directory {}: it is not a directory; remove it or choose another path", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The path is a symbolic link that another user can point elsewhere.
    #[error(
        "metrics directory {}: it is a symbolic link that belongs to user id {uid}; name the directory itself",
        path.display()
    )]
    ForeignLink {
        /// The path.
        path: PathBuf,
        /// The owner of the link.
        uid: u32,
    },
    /// An operation in the directory failed.
    #[error("metrics directory {}: cannot {action}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was tried, with the name of the file.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Every identifier is taken.
    #[error(
        "metrics directory {}: {limit} processes use it already, which is the limit",
        path.display()
    )]
    Full {
        /// The directory.
        path: PathBuf,
        /// The largest number of worker processes.
        limit: u32,
    },
}

impl DirectoryError {
    /// Explains an I/O error by what was tried at which path.
    pub(crate) fn io<'a>(
        path: &'a Path,
        action: impl Into<String> + 'a,
    ) -> impl FnOnce(io::Error) -> DirectoryError + 'a {
        move |source| DirectoryError::Io {
            path: path.to_owned(),
            action: action.into(),
            source,
        }
    }
}
