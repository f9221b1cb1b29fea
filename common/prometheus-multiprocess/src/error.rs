//! Errors of a metrics directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::DIRECTORY_VARIABLE;

/// An error of preparing or opening a metrics directory.
///
/// The message includes the error of the operating system, so there is no
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another master process holds the directory.
    #[error(
        "metrics directory {} is in use by master process {pid}; stop it or choose another directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process id of that master, from its lock file.
        pid: u32,
    },
    /// The path is not a directory.
    #[error("metrics directory {} is not a directory; remove it or choose another path", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The path is a symbolic link that belongs to another user.
    #[error(
        "metrics directory {} is a symbolic link that belongs to user id {uid}; name the directory itself",
        path.display()
    )]
    ForeignLink {
        /// The path.
        path: PathBuf,
        /// The owner of the link.
        uid: u32,
    },
    /// `PROMETHEUS_MULTIPROC_DIR` is unset or empty.
    #[error("{DIRECTORY_VARIABLE} is unset or empty, expected the path of the metrics directory")]
    Unset,
    /// An operation on the directory failed.
    #[error("metrics directory {}: cannot {action}: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The operation, with the name of the file.
        action: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// All worker identifiers are in use.
    #[error(
        "metrics directory {}: all {limit} worker identifiers are in use",
        path.display()
    )]
    Full {
        /// The directory.
        path: PathBuf,
        /// The maximum number of worker processes.
        limit: u32,
    },
}

impl DirectoryError {
    /// Adds the operation and the path to an I/O error.
    pub(crate) fn io<'a>(
        path: &'a Path,
        action: impl Into<String> + 'a,
    ) -> impl FnOnce(io::Error) -> DirectoryError + 'a {
        move |error| DirectoryError::Io {
            path: path.to_owned(),
            action: action.into(),
            error,
        }
    }

    /// Whether the service can do without the directory for now.
    pub(crate) fn is_passing(&self) -> bool {
        let is_lasting = |error: &io::Error| {
            use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
            matches!(
                error.kind(),
                NotFound | PermissionDenied | ReadOnlyFilesystem
            )
        };
        matches!(self, DirectoryError::Io { error, .. } if !is_lasting(error))
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.is_io(io::ErrorKind::NotFound)
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.is_io(io::ErrorKind::PermissionDenied)
    }

    fn is_io(&self, kind: io::ErrorKind) -> bool {
        matches!(self, DirectoryError::Io { error, .. } if error.kind() == kind)
    }
}
