//! The program that workers run: the file as it was opened, whatever happens to
//! its path.

use std::{
    env,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{self, Path, PathBuf},
};

use crate::Error;

/// An opened executable.
pub(crate) struct Binary(File);

impl Binary {
    /// Opens the program of this process.
    fn current() -> io::Result<Self> {
        File::open("/proc/self/exe").map(Self)
    }

    /// Opens the program that is at `path` now.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] where there is no executable file.
    fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            match metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
                true => Ok(file),
                false => Err(io::Error::other("not an executable file")),
            }
        };
        open().map(Self).map_err(|error| Error::Program {
            path: path.to_owned(),
            error,
        })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What workers run: the program as it was opened at the start or by the last reload, and
/// what a reload under way brings.
pub(crate) struct Program {
    current: Binary,
    next: Option<Binary>,
    path: Option<PathBuf>,
}

impl Program {
    pub(crate) fn current() -> io::Result<Self> {
        Ok(Self {
            current: Binary::current()?,
            next: None,
            path: own_path(),
        })
    }

    /// The program of a worker, which may be that of a reload.
    pub(crate) fn binary(&self, new: bool) -> &Binary {
        let next = self.next.as_ref().filter(|_| new);
        next.unwrap_or(&self.current)
    }

    /// Opens the program that is on disk now, and returns its path.
    ///
    /// # Errors
    ///
    /// Fails with a message if there is none, or its path is not known.
    pub(crate) fn open_next(&mut self) -> Result<&Path, String> {
        let unknown = "cannot determine the path of this executable; start it by its path";
        let path = self.path.as_deref().ok_or(unknown)?;
        self.next = Some(Binary::open(path).map_err(|error| error.to_string())?);
        Ok(path)
    }

    /// Ends a reload. If it was a success, workers go on running what it brought.
    pub(crate) fn end_reload(&mut self, success: bool) {
        if let Some(next) = self.next.take().filter(|_| success) {
            self.current = next;
        }
    }
}

/// Where this program came from, which is where a newer one will be: the path it
/// was called by, with its symbolic links, since a deploy may change one of them.
fn own_path() -> Option<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from);
    let called = called.and_then(|name| match name.components().count() {
        0 => None,
        1 if !name.is_absolute() => on_path(&name),
        _ => path::absolute(name).ok(),
    });
    // The first argument may be anything; the file has to be this one.
    called.filter(|path| is_this_program(path)).or_else(|| {
        let path = env::current_exe().ok()?;
        is_this_program(&path).then_some(path)
    })
}

fn on_path(name: &Path) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&directories).map(|directory| directory.join(name));
    candidates.find(|path| is_this_program(path))
}

fn is_this_program(path: &Path) -> bool {
    let file = |path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    matches!((file(path), file(Path::new("/proc/self/exe"))), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_this_program_is_found_and_opens() {
        let path = own_path().unwrap();
        assert!(path.is_absolute(), "{}", path.display());
        assert!(Binary::open(&path).is_ok());
    }

    #[test]
    fn a_path_that_is_not_an_executable_file_is_named_in_the_error() {
        for path in ["/no/such/program", "/tmp", "/proc/self/status"] {
            let error = Binary::open(Path::new(path)).err().unwrap().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
