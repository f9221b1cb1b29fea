//! Which process writes which files: an identifier, held by a lock for as long as the process
//! lives.
//!
//! The lock is an open-file-description lock (`F_OFD_SETLK` of fcntl(2)): the kernel
//! releases it when the process ends, however it ends, and another process can ask who
//! holds it without trying to take it. The lock files are never removed, so that two
//! processes can never hold one identifier through two files of the same name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::{error::DirectoryError, process};

/// The identifier of a master.
pub(crate) const MASTER: &str = "master";
/// Worker identifiers are `worker-0` up to one below this.
const LIMIT: u32 = 65_536;

/// An identifier that this process holds.
#[derive(Debug)]
pub(crate) struct Identity {
    name: String,
    _lock: File,
}

impl Identity {
    /// What stands in the names of the files, such as `worker-0`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes the lowest free `worker-N` and removes what its last holder left that must not
    /// come back to life.
    pub(crate) fn worker(directory: &Path) -> Result<Identity, DirectoryError> {
        let _changing = Changing::wait(directory)?;
        for number in 0..LIMIT {
            let name = format!("worker-{number}");
            if let Some(identity) = Identity::take(directory, name)? {
                crate::directory::remove_files(directory, |kind, owner| {
                    kind.is_live() && owner == identity.name
                })?;
                return Ok(identity);
            }
        }
        Err(DirectoryError::Full {
            path: directory.to_owned(),
            limit: LIMIT,
        })
    }

    /// Takes the identifier `master`.
    pub(crate) fn master(directory: &Path) -> Result<Identity, DirectoryError> {
        match Identity::take(directory, MASTER.to_owned())? {
            Some(identity) => Ok(identity),
            None => Err(DirectoryError::InUse {
                path: directory.to_owned(),
                pid: owner(directory, MASTER).map_or(0, |owner| owner.pid),
            }),
        }
    }

    fn take(directory: &Path, name: String) -> Result<Option<Identity>, DirectoryError> {
        let path = lock_path(directory, &name);
        let explain = || DirectoryError::io(directory, format!("lock {}", path.display()));
        let mut lock = open_lock(&path).map_err(explain())?;
        match fcntl(&lock, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(explain()(errno.into())),
        }
        let pid = std::process::id();
        let start = process::start_ticks(pid).unwrap_or(0);
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{pid} {start}"))
            .map_err(explain())?;
        Ok(Some(Identity { name, _lock: lock }))
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

/// The process that holds an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the boot; tells it from a later process
    /// with the same pid.
    pub(crate) start: u64,
}

/// Whether `identifier` is one that this crate gives, so that its files are ours.
pub(crate) fn is_ours(identifier: &str) -> bool {
    let number = identifier.strip_prefix("worker-");
    identifier == MASTER
        || number.is_some_and(|number| {
            number
                .parse::<u32>()
                .is_ok_and(|parsed| parsed.to_string() == number)
        })
}

/// Whether a process holds `identifier`. The lock is asked about, not taken.
pub(crate) fn is_held(directory: &Path, identifier: &str) -> bool {
    let Ok(lock) = File::open(lock_path(directory, identifier)) else {
        return false;
    };
    let mut found = range(libc::F_WRLCK);
    match fcntl(&lock, FcntlArg::F_OFD_GETLK(&mut found)) {
        Ok(_) => found.l_type != libc::F_UNLCK as libc::c_short,
        Err(errno) => {
            // A process that may live must not lose its values.
            log::warn!(
                "cannot query the lock of {identifier} in {}: {errno}",
                directory.display()
            );
            true
        }
    }
}

/// The process that holds `identifier`, or held it last.
pub(crate) fn owner(directory: &Path, identifier: &str) -> Option<Owner> {
    let text = fs::read_to_string(lock_path(directory, identifier)).ok()?;
    let (pid, start) = text.trim().split_once(' ')?;
    Some(Owner {
        pid: pid.parse().ok()?,
        start: start.parse().ok()?,
    })
}

/// Every identifier that was ever given in `directory`, sorted.
pub(crate) fn all(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(identifier) = name.to_str().and_then(|name| name.strip_suffix(".lock"))
            && is_ours(identifier)
        {
            names.push(identifier.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn lock_path(directory: &Path, identifier: &str) -> PathBuf {
    directory.join(format!("{identifier}.lock"))
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
