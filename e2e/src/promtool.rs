//! Checks of `promtool`, the tool of Prometheus.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use crate::prometheus::executables;

/// Runs `promtool check metrics` of each release and returns the complaints, which are empty for a valid exposition.
///
/// # Errors
///
/// Returns an error if one cannot be run, or if one is missing and `REQUIRE_REAL_PARTS=1` is set.
pub fn complaints(exposition: &str) -> Result<Vec<String>> {
    let executables = executables("promtool")?;
    let check = |executable: &PathBuf| check_metrics(executable, exposition);
    executables.iter().map(check).collect()
}

fn check_metrics(executable: &Path, exposition: &str) -> Result<String> {
    let mut promtool = Command::new(executable)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start promtool")?;
    let mut stdin = promtool.stdin.take().context("promtool has no stdin")?;
    // It reads everything before it prints. If it exits early, its output says why.
    let _ = stdin.write_all(exposition.as_bytes());
    drop(stdin);
    let output = promtool.wait_with_output()?;
    let words = [output.stdout, output.stderr].concat();
    let mut words = String::from_utf8_lossy(&words).into_owned();
    if !output.status.success() && words.is_empty() {
        words = output.status.to_string();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtool_complains_only_about_invalid_metrics() {
        let good = "# HELP a_total A\n# TYPE a_total counter\na_total 1\n";
        for (exposition, is_good) in [(good, true), ("a_total 1\n", false), ("a{1} 1\n", false)] {
            for words in complaints(exposition).unwrap() {
                assert_eq!(words.is_empty(), is_good, "{exposition}: {words}");
            }
        }
    }
}
