//! The names by which Python finds the files: hard links in the directory itself.
//!
//! Our own readers do not need them. A file system may have no hard links, and a Flask application
//! in the tradition of `prometheus_client` removes every `*.db` when it starts.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{
    format::{Kind, is_identifier},
    home,
};

/// Links each metric file that counts, and removes links to files that are gone. Returns how many
/// links were missing or led elsewhere.
pub(crate) fn renew_all(directory: &Path) -> io::Result<usize> {
    let mut wanted = BTreeMap::new();
    for identifier in home::identifiers(directory)? {
        let home = directory.join(&identifier);
        if !home::is_retired(&home) {
            for (kind, path) in home::files(&home)? {
                wanted.insert(OsString::from(kind.link_name(&identifier)), path);
            }
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let link = name.to_str().and_then(Kind::of_link_name);
        if link.is_some_and(|(_, identifier)| is_identifier(identifier))
            && !wanted.contains_key(&name)
        {
            home::remove(entry.path())?;
        }
    }
    let renewed = wanted
        .into_iter()
        .filter(|(name, file)| renew(file, &directory.join(name)));
    Ok(renewed.count())
}

/// Makes `link` lead to `file`. Returns whether it had to and could.
pub(crate) fn renew(file: &Path, link: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let is_right = matches!((inode(file), inode(link)), (Ok(file), Ok(link)) if file == link);
    !is_right && replace(file, link).is_ok()
}

fn replace(file: &Path, link: &Path) -> io::Result<()> {
    let unfinished: PathBuf = link.with_extension("link");
    home::remove(&unfinished)?;
    fs::hard_link(file, &unfinished)?;
    fs::rename(&unfinished, link)
}
