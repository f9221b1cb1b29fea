//! Which process writes which files: an identifier, held by a lock for as long as the process
//! lives.
//!
//! The lock is an open-file-description lock (`F_OFD_SETLK` of fcntl(2)): the kernel
//! releases it when the process ends, however it ends, and another process can ask who
//! holds it without trying to take it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::{
    error::DirectoryError,
    format::MASTER,
    home::{self, LOCK},
};

/// Worker identifiers are `worker-0` up to one below this.
const LIMIT: u32 = 65_536;

/// An identifier that this process holds.
#[derive(Debug)]
pub(crate) struct Identity {
    name: String,
    home: PathBuf,
    lock: File,
}

/// Which identifier a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Worker,
}

impl Identity {
    /// The name, such as `worker-0`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The directory of this process.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Whether others see the lock. They do not if the directory was removed.
    pub(crate) fn is_visible(&self) -> bool {
        home::is_same(&self.lock, &self.home.join(LOCK)).unwrap_or(true)
    }

    /// Takes `master`, or the lowest free `worker-N`, and removes what its last holder left that
    /// must not come back to life.
    pub(crate) fn take(directory: &Path, role: Role) -> Result<Identity, DirectoryError> {
        let _changing = Changing::wait(directory)?;
        if role == Role::Master {
            let identity = Identity::try_lock(directory, MASTER.to_owned())?;
            return identity.ok_or_else(|| DirectoryError::InUse {
                path: directory.to_owned(),
                pid: owner(directory, MASTER).unwrap_or(0),
            });
        }
        for number in 0..LIMIT {
            let name = format!("worker-{number}");
            let is_there = directory.join(&name).is_dir();
            let identity = match Identity::try_lock(directory, name) {
                // It is another user's.
                Err(error) if is_there && error.is_denied() => None,
                result => result?,
            };
            if let Some(identity) = identity {
                let home = &identity.home;
                let removed = match home::is_retired(home) {
                    true => home::clear(home),
                    false => home::remove_live(home),
                };
                removed.map_err(DirectoryError::io(directory, "remove old live gauges"))?;
                return Ok(identity);
            }
        }
        Err(DirectoryError::Full {
            path: directory.to_owned(),
            limit: LIMIT,
        })
    }

    /// Like [`Identity::take`], in a directory that may have been removed.
    pub(crate) fn take_again(directory: &Path, role: Role) -> Result<Identity, DirectoryError> {
        if !directory.exists() {
            let create = DirBuilder::new().mode(0o700).create(directory);
            create.map_err(DirectoryError::io(directory, "create it"))?;
        }
        Identity::take(directory, role)
    }

    fn try_lock(directory: &Path, name: String) -> Result<Option<Identity>, DirectoryError> {
        let home = directory.join(&name);
        let path = home.join(LOCK);
        let explain = || DirectoryError::io(directory, format!("lock {}", path.display()));
        match DirBuilder::new().mode(0o700).create(&home) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(explain()(error));
            }
            _ => {}
        }
        let mut lock = open_lock(&path).map_err(explain())?;
        match fcntl(&lock, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(explain()(errno.into())),
        }
        // Somebody may have removed the directory after the lock was opened.
        if !home::is_same(&lock, &path).map_err(explain())? {
            return Err(explain()(io::ErrorKind::NotFound.into()));
        }
        // Always as long, so that it needs no space on a full disk if there was a holder before.
        writeln!(lock, "{:>10}", std::process::id()).map_err(explain())?;
        Ok(Some(Identity { name, home, lock }))
    }
}

/// Held while an identifier is claimed or cleaned up, so that cleanup never deletes a
/// successor's files.
pub(crate) struct Changing {
    _lock: File,
}

impl Changing {
    /// Waits until no other process takes an identifier or clears up.
    pub(crate) fn wait(directory: &Path) -> Result<Changing, DirectoryError> {
        let path = directory.join("directory.lock");
        let explain = || DirectoryError::io(directory, format!("lock {}", path.display()));
        let lock = open_lock(&path).map_err(explain())?;
        loop {
            match fcntl(&lock, FcntlArg::F_OFD_SETLKW(&range(libc::F_WRLCK))) {
                Ok(_) => return Ok(Changing { _lock: lock }),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(explain()(errno.into())),
            }
        }
    }
}

/// The last time that a process took an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Whether that process still holds it.
    pub(crate) lives: bool,
    /// When it took it, in nanoseconds of Unix time.
    pub(crate) since: i128,
}

/// Asks about the lock of `identifier`, without taking it.
pub(crate) fn holder(directory: &Path, identifier: &str) -> Holder {
    let ask = || {
        let lock = File::open(directory.join(identifier).join(LOCK))?;
        let mut found = range(libc::F_WRLCK);
        fcntl(&lock, FcntlArg::F_OFD_GETLK(&mut found))?;
        let lives = found.l_type != libc::F_UNLCK as libc::c_short;
        let since = home::modified(&lock.metadata()?);
        io::Result::Ok(Holder { lives, since })
    };
    // A process that may live must not lose its values.
    ask().unwrap_or_else(|error| Holder {
        lives: error.kind() != io::ErrorKind::NotFound,
        since: 0,
    })
}

pub(crate) fn is_held(directory: &Path, identifier: &str) -> bool {
    holder(directory, identifier).lives
}

/// The process that holds `identifier`, or held it last.
pub(crate) fn owner(directory: &Path, identifier: &str) -> Option<u32> {
    let text = fs::read_to_string(directory.join(identifier).join(LOCK)).ok()?;
    // More than the pid stands in the file of an older build.
    text.split_whitespace().next()?.parse().ok()
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// A lock on the first byte. Open-file-description locks want the pid 0.
fn range(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}
