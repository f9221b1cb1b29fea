//! Installed programs that tests use: Prometheus, the OpenTelemetry Collector, system tools.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Finds `name` on `PATH`.
///
/// If it is missing, prints on stderr that the test is skipped and `how_to_get` the program, and returns `None`. The test
/// must then return early.
///
/// # Errors
///
/// Returns an error if the program is missing and `REQUIRE_REAL_PARTS=1` forbids skipped tests.
pub fn real_part(name: &str, how_to_get: &str) -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate));
    if found.is_none() {
        skip(&format!("`{name}` is not on PATH ({how_to_get})"))?;
    }
    Ok(found)
}

/// Prints on stderr that a test is skipped, and why.
///
/// # Errors
///
/// Returns an error if `REQUIRE_REAL_PARTS=1` forbids skipped tests.
pub fn skip(reason: &str) -> Result<()> {
    if env::var("REQUIRE_REAL_PARTS").is_ok_and(|value| value == "1") {
        bail!("REQUIRE_REAL_PARTS=1, and {reason}");
    }
    eprintln!("skipped: {reason}");
    Ok(())
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(real_part("sh", "").unwrap().is_some());
        let path = env::var_os("PATH").unwrap();
        assert!(
            !env::split_paths(&path)
                .any(|directory| is_executable(&directory.join("no-such-part")))
        );
    }
}
