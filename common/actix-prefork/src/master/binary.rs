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
    pub(crate) fn current() -> io::Result<Self> {
        File::open("/proc/self/exe").map(Self)
    }

    /// Opens the program that is at `path` now.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] where there is no executable file.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
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

/// Where this program came from, which is where a newer one will be: the path it
/// was called by, with its symbolic links, since a deploy may change one of them.
pub(crate) fn own_path() -> Option<PathBuf> {
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
