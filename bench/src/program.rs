//! The programs under test.

use e2e::Program;

/// The program of a package, built with the profile of this benchmark.
///
/// A release build builds only this program. A development build builds it together with all tests, like `cargo test`.
pub fn program(package: &str) -> Program {
    let program = Program::new(package);
    if cfg!(debug_assertions) {
        program
    } else {
        program.profile("release")
    }
}
