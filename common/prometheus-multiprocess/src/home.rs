//! The directory of one process, such as `worker-0`: its lock and its metric files.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::format::{self, Kind};

/// The name of the lock file.
pub(crate) const LOCK: &str = "lock";
/// The mark of a process that an earlier master started: no reader of a later run counts it.
const RETIRED: &str = "retired";

/// The identifiers that have a directory, sorted.
pub(crate) fn identifiers(directory: &Path) -> io::Result<Vec<String>> {
    let mut identifiers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && format::is_identifier(&name)
            && entry.file_type()?.is_dir()
        {
            identifiers.push(name);
        }
    }
    identifiers.sort();
    Ok(identifiers)
}

/// When a file was last written, in nanoseconds of Unix time. A process does so when it takes a
/// file over.
pub(crate) fn modified(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The metric files in `home`.
pub(crate) fn files(home: &Path) -> io::Result<Vec<(Kind, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        if let Some(kind) = entry.file_name().to_str().and_then(Kind::of_file_name) {
            files.push((kind, entry.path()));
        }
    }
    Ok(files)
}

/// Removes the live gauges of a process that has ended.
pub(crate) fn remove_live(home: &Path) -> io::Result<()> {
    let live = files(home)?.into_iter().filter(|(kind, _)| kind.is_live());
    live.map(|(_, path)| path).try_for_each(remove)
}

/// Removes everything but the lock.
pub(crate) fn clear(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        if entry.file_name() != LOCK {
            remove(entry.path())?;
        }
    }
    Ok(())
}

/// Marks a process that still runs, but belongs to an earlier run.
pub(crate) fn retire(home: &Path) -> io::Result<()> {
    create(&home.join(RETIRED)).map(drop)
}

/// Creates a file that only this user can read, in the place of the one that is there: that one may
/// be mapped, by a process that could not finish it.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    remove(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    options.mode(0o600).open(path)
}

pub(crate) fn is_retired(home: &Path) -> bool {
    home.join(RETIRED).exists()
}

/// Whether `path` leads to this file, and not to another one that took its place.
pub(crate) fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let (file, found) = match fs::metadata(path) {
        Ok(found) => (file.metadata()?, found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok((file.dev(), file.ino()) == (found.dev(), found.ino()))
}

/// Removes a file, unless it is gone already.
pub(crate) fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
