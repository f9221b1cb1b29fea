//! The file of a Unix domain socket: how it is made, when it may take the place of
//! another one, and how it is removed.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{
    Error,
    bind::{BACKLOG, TAKEN_PATIENCE},
};

/// How often something that is in the way is looked at again.
const TICK: Duration = Duration::from_millis(50);

/// A socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what is at the path later may be another server's.
    identity: (u64, u64),
}

/// Listens on a socket at `path`, which exactly the users in `mode` may connect to.
///
/// A socket that nobody listens on any more is replaced. One that somebody listens
/// on, and anything that is no socket, is left alone.
///
/// # Errors
///
/// [`Error::BindUnix`].
pub(crate) fn listen(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Error> {
    let patience = Instant::now() + TAKEN_PATIENCE;
    let taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    loop {
        match try_listen(path, mode, patience) {
            Err(error) if taken(&error) && Instant::now() < patience => thread::sleep(TICK),
            result => {
                return result.map_err(|error| Error::BindUnix {
                    path: path.to_owned(),
                    error,
                });
            }
        }
    }
}

fn try_listen(path: &Path, mode: u32, patience: Instant) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path).map_err(|_| too_long(path))?;
    let _only_one = lock_directory(path, patience)?;
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux creates the file with what the socket itself permits, less the umask,
    // so that there is no moment in which it permits more.
    #[cfg(target_os = "linux")]
    nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(mode))?;
    socket.bind(&address)?;
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: (metadata.dev(), metadata.ino()),
    };
    // The umask may have taken what was asked for.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

fn too_long(path: &Path) -> io::Error {
    let text = format!(
        "the path has {} bytes, the limit is about 100",
        path.as_os_str().as_bytes().len()
    );
    io::Error::new(io::ErrorKind::InvalidFilename, text)
}

/// Locks the directory of the socket, so that of two servers that find a stale
/// socket there one does not remove what the other has just made. The lock
/// leaves nothing behind.
///
/// It is held for a moment only. Anybody who may read the directory can hold it for
/// longer, and must not be able to keep a server from starting.
fn lock_directory(path: &Path, patience: Instant) -> io::Result<Option<Flock<File>>> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = File::open(directory)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((_, error)) if error != Errno::EWOULDBLOCK => return Err(error.into()),
            Err((unlocked, _)) if Instant::now() < patience => file = unlocked,
            Err(_) => {
                log::warn!(
                    "another program holds a lock on {}; starting without it",
                    directory.display()
                );
                return Ok(None);
            }
        }
        thread::sleep(TICK);
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let text = "path exists and is not a socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    match try_connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // A server, perhaps one with a full queue, or a socket of another type.
        Ok(_) | Err(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// Connects without waiting for a place in the queue.
fn try_connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

impl SocketFile {
    /// Removes the file, so that nobody can connect from now on. What is there
    /// in its place by now, another server's for example, stays.
    pub(crate) fn remove(&self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            log::warn!("cannot remove the socket {}: {error}", self.path.display());
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}
