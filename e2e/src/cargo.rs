//! A replacement for `cargo run`, for tests that run the commands of the documentation.
//!
//! It starts the programs that the tests have built. The real `cargo run -p` would rebuild them with other features of
//! their dependencies, because it builds one package instead of the workspace.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context, Result};

use crate::program::Program;

const HEAD: &str = r#"#!/bin/sh
refuse() { echo "error: $1" >&2; exit 101; }
[ "$1" = run ] || refuse "the tests stand in for \`cargo run\` alone, and this is \`cargo $*\`"
shift
package= example=
while [ $# -gt 0 ]; do
    case $1 in
    -p) package=$2; shift 2 ;;
    --example) example=$2; shift 2 ;;
    # The build of the workspace has the features of all.
    --features) shift 2 ;;
    --) shift; break ;;
    *) refuse "unexpected argument '$1' found" ;;
    esac
done
case $package/$example in
"#;

/// Writes an executable named `cargo` to `directory`. It starts these programs, selected by package and example, and puts
/// their arguments before those on its command line.
///
/// # Errors
///
/// Returns an error if a program cannot be built, or the file cannot be written.
pub fn stand_in(directory: &Path, programs: &[(&str, &str, &[String])]) -> Result<()> {
    let mut script = HEAD.to_owned();
    for (package, example, args) in programs {
        let program = match *example {
            "" => Program::new(package),
            example => Program::example(package, example),
        };
        let (path, args) = (program.executable()?, args.join(" "));
        writeln!(
            script,
            "{package}/{example}) exec '{}' {args} \"$@\" ;;",
            path.display()
        )?;
    }
    script += "*) refuse \"package ID specification \\`$package\\` did not match any packages\" ;;\nesac\n";
    let path = directory.join("cargo");
    let written = fs::write(&path, script)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o700)));
    written.with_context(|| format!("cannot write {}", path.display()))
}
