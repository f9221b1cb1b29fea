//! The programs that are put to the test.

use e2e::Program;

/// The program of a package, built like the one that runs.
///
/// In a release build it is built by itself, in a development build together with all tests, as `cargo test` has done.
pub fn program(package: &str) -> Program {
    let program = Program::new(package);
    if cfg!(debug_assertions) {
        program
    } else {
        program.profile("release")
    }
}
