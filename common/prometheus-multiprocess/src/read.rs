//! Opens and reads metric files of anybody.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::libc;

use crate::format::HEADER;

/// The reason of a file that was removed after the directory was listed: it is not bad.
pub(crate) const REMOVED: &str = "removed";
/// The reasons of a file that may still be what it was when it was read last.
pub(crate) const UNREADABLE: [&str; 2] = ["permission denied", "unreadable"];

/// How many bytes one thread reads without the help of another.
pub(crate) const READ_ALONE: usize = 1 << 20;

/// Opens a regular file; a pipe of that name must not make the scrape wait.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata), &'static str> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err("not a file"),
    }
}

/// Reads a file whole, as Python's reader does: `used` first, then up to it.
pub(crate) fn whole(path: &Path, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
    let (mut file, _) = open(path)?;
    bytes.clear();
    bytes.resize(HEADER, 0);
    file.read_exact(bytes).map_err(|_| "empty")?;
    let wanted = u64::try_from(used(bytes)).unwrap_or(0);
    file.take(wanted.saturating_sub(HEADER as u64))
        .read_to_end(bytes)
        .map_err(unreadable)?;
    Ok(())
}

/// The field `used` of a file, whose header is there.
pub(crate) fn used(bytes: &[u8]) -> i32 {
    bytes
        .first_chunk()
        .map_or(0, |used| i32::from_ne_bytes(*used))
}

/// Why a file, or the directory, was not read.
pub(crate) fn unreadable(error: io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => REMOVED,
        io::ErrorKind::PermissionDenied => UNREADABLE[0],
        _ => UNREADABLE[1],
    }
}
