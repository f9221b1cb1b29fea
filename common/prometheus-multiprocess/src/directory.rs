//! The metrics directory, prepared by the master for its workers.

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access, geteuid};

use crate::{
    DIRECTORY_VARIABLE,
    context::Incident,
    error::DirectoryError,
    format::Kind,
    identity::{self, Changing, Identity},
    store::Store,
};

/// The metrics directory of a service, prepared and held by its master process.
///
/// Dropping it removes the directory if [`Directory::prepare`] chose the path, and keeps it if the
/// caller named the path.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use prometheus_multiprocess::{Directory, Store};
///
/// let directory = Directory::prepare(None)?;
/// let path = directory.path().to_owned();
/// let worker = Store::open(&path)?;
/// assert_eq!(directory.store().identifier(), "master");
/// // When a worker has ended.
/// drop(worker);
/// directory.sweep()?;
/// // At the end.
/// drop(directory);
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    temporary: bool,
    pid: u32,
    store: Store,
}

impl Directory {
    /// Prepares `path` for the workers of a new run. Without a path it uses a private directory
    /// below `XDG_RUNTIME_DIR`, or else `/dev/shm`, or else the directory for temporary files.
    ///
    /// A missing directory is created with mode 0700. Files of an earlier run are removed, except
    /// those of processes that still run. Files of other programs stay.
    ///
    /// # Errors
    ///
    /// Fails if another master holds the directory, if the path is not a directory or not
    /// writable, or if it is a symbolic link that belongs to neither this user nor root.
    pub fn prepare(path: Option<&Path>) -> Result<Directory, DirectoryError> {
        match path {
            Some(path) => {
                create(path)?;
                Directory::hold(path.to_owned(), false)
            }
            None => prepare_temporary(),
        }
    }

    /// The path of the directory. Pass it to the workers in `PROMETHEUS_MULTIPROC_DIR`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store for metrics of the master itself. Its identifier is `master`.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Prepares the directory that `PROMETHEUS_MULTIPROC_DIR` names, or a private one if the
    /// variable is unset or empty; see [`Directory::prepare`].
    ///
    /// # Errors
    ///
    /// Fails as [`Directory::prepare`] does.
    pub fn from_env() -> Result<Directory, DirectoryError> {
        let named = env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty());
        Self::prepare(named.as_deref().map(Path::new))
    }

    /// Removes the live gauges of worker processes that have ended, and restores metric files that
    /// another program removed.
    ///
    /// Call it when a worker has ended and every few seconds, or start a
    /// [`Sweeper`](crate::Sweeper). Scrapes by this crate do not need it. It is for readers that
    /// only look at the files, such as Python's.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be read or changed.
    pub fn sweep(&self) -> Result<(), DirectoryError> {
        let _changing = Changing::wait(&self.path)?;
        remove_files(&self.path, |kind, identifier| {
            kind.is_live() && !identity::is_held(&self.path, identifier)
        })?;
        let restored = crate::scan::restore(&self.path)
            .map_err(DirectoryError::io(&self.path, "restore removed files"))?;
        for _ in 0..restored {
            self.store.count(Incident::FileRestored);
        }
        Ok(())
    }

    fn hold(path: PathBuf, temporary: bool) -> Result<Directory, DirectoryError> {
        let identity = Identity::master(&path)?;
        let _changing = Changing::wait(&path)?;
        remove_files(&path, |_, identifier| {
            identifier == identity::MASTER || !identity::is_held(&path, identifier)
        })?;
        Ok(Directory {
            store: Store::with_identity(&path, identity)?,
            path,
            temporary,
            pid: std::process::id(),
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary
            && self.pid == std::process::id()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            log::warn!(
                "cannot remove metrics directory {}: {error}",
                self.path.display()
            );
        }
    }
}

/// Creates the directory, or makes sure that it can be trusted and written.
fn create(path: &Path) -> Result<(), DirectoryError> {
    let explain = |action: &'static str| DirectoryError::io(path, action);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(explain("create it"));
        }
        Err(error) => return Err(explain("read it")(error)),
        Ok(link) if link.is_symlink() && ![0, geteuid().as_raw()].contains(&link.uid()) => {
            return Err(DirectoryError::ForeignLink {
                path: path.to_owned(),
                uid: link.uid(),
            });
        }
        Ok(_) => {}
    }
    if !fs::metadata(path).map_err(explain("read it"))?.is_dir() {
        return Err(DirectoryError::NotADirectory {
            path: path.to_owned(),
        });
    }
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    access(path, wanted).map_err(|errno| explain("write to it")(errno.into()))
}

/// Takes the lowest directory of this user that no run uses, so that runs which were killed leave
/// no more directories behind than there ever were runs at once.
fn prepare_temporary() -> Result<Directory, DirectoryError> {
    let parent = temporary_parent();
    let user = geteuid();
    for number in 0..1000 {
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
        match Directory::hold(path, true) {
            Err(DirectoryError::InUse { .. }) => {}
            result => return result,
        }
    }
    Err(DirectoryError::io(
        &parent,
        "find a free directory name in it",
    )(io::ErrorKind::AlreadyExists.into()))
}

fn temporary_parent() -> PathBuf {
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
    identity::all(path).is_ok_and(|all| all.iter().any(|name| identity::is_held(path, name)))
}

/// Removes the files of identifiers of ours that `matches`, both names of each.
pub(crate) fn remove_files(
    directory: &Path,
    matches: impl Fn(Kind, &str) -> bool,
) -> Result<(), DirectoryError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut paths = list().map_err(DirectoryError::io(directory, "list it"))?;
    // `x.keep` must go before `x.db`, which would be put back otherwise.
    paths.sort_by_key(|path| path.extension().is_some_and(|extension| extension == "db"));
    for path in paths {
        let as_db = path.with_extension("db");
        let Some((kind, identifier)) = as_db
            .file_name()
            .and_then(|name| Kind::of_file_name(name.to_str()?))
        else {
            continue;
        };
        let of_ours = path.extension().is_some_and(|extension| {
            ["db", "keep", "new", "corrupt"]
                .iter()
                .any(|ours| extension == *ours)
        });
        if of_ours && identity::is_ours(identifier) && matches(kind, identifier) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(DirectoryError::io(
                        directory,
                        format!("remove {}", path.display()),
                    )(error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
