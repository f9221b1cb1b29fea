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
    error::DirectoryError,
    files::Incident,
    format::MASTER,
    home,
    identity::{self, Changing, Identity, Role},
    links,
    store::Store,
    temporary,
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
/// assert_eq!(directory.store().identifier().as_deref(), Some("master"));
/// // When a worker has ended.
/// drop(worker);
/// directory.sweep()?;
/// // At the end. It removes the directory, whose path was not named.
/// drop(directory);
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
    /// A missing directory is created with mode 0700. Files of an earlier run are removed. Processes
    /// of that run that still live are no longer counted. Files of other programs stay.
    ///
    /// # Errors
    ///
    /// Fails if another master holds the directory, if the path is not a directory or not
    /// writable, or if it is a symbolic link that belongs to neither this user nor root. A full
    /// disk is no error, see [`Store::open`].
    pub fn prepare(path: Option<&Path>) -> Result<Directory, DirectoryError> {
        match path {
            Some(path) => {
                create(path)?;
                Directory::hold(path.to_owned(), false)
            }
            None => temporary::claim(|path| Directory::hold(path, true)),
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

    /// Removes the live gauges of worker processes that have ended, and renews the links by which
    /// Python finds the files of the others.
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
        let renewed = clean(&self.path, |home| match home::is_retired(home) {
            true => fs::remove_dir_all(home),
            false => home::remove_live(home),
        })?;
        if renewed > 0 {
            log::warn!(
                "links to {renewed} metric files in {} were missing, restored them",
                self.path.display()
            );
        }
        for _ in 0..renewed {
            self.store.count(Incident::FileRestored);
        }
        Ok(())
    }

    fn hold(path: PathBuf, temporary: bool) -> Result<Directory, DirectoryError> {
        let identity = match Identity::take(&path, Role::Master) {
            Ok(identity) => {
                let _changing = Changing::wait(&path)?;
                home::clear(identity.home()).map_err(DirectoryError::io(&path, "clear it"))?;
                for identifier in home::identifiers(&path).unwrap_or_default() {
                    if identifier != MASTER && identity::is_held(&path, &identifier) {
                        let retired = home::retire(&path.join(&identifier));
                        retired.map_err(DirectoryError::io(&path, "write to it"))?;
                    }
                }
                clean(&path, |home| fs::remove_dir_all(home))?;
                Ok(identity)
            }
            Err(error) if error.is_passing() => Err(error),
            Err(error) => return Err(error),
        };
        Ok(Directory {
            store: Store::with_identity(&path, Role::Master, identity)?,
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
            && self.store.close()
            && let Err(error) = temporary::remove(&self.path)
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

/// Cleans the directories of processes that have ended, and renews the links. Returns how many
/// links were renewed.
fn clean(path: &Path, ended: impl Fn(&Path) -> io::Result<()>) -> Result<usize, DirectoryError> {
    let clean = || {
        for identifier in home::identifiers(path)? {
            if !identity::is_held(path, &identifier) {
                ended(&path.join(&identifier))?;
            }
        }
        links::renew_all(path)
    };
    clean().map_err(DirectoryError::io(path, "clean it"))
}
