//! Support for tests of the workspace's programs.
//!
//! Tests start the real programs as processes on port 0, and wait for conditions with a deadline instead of sleeping.
//!
//! | module | purpose |
//! |---|---|
//! | [`program`] | build a program of the workspace and start it |
//! | [`running`] | watch a program, stop it, check that no process remains |
//! | [`Address`] | the address of a program: a port or a Unix domain socket |
//! | [`ready`] | the ready line, with which a program reports its address |
//! | [`console`] | the output of a program |
//! | [`load`] | a load client that accounts for every request and classifies every failure |
//! | [`http`] | single requests, with control over every byte |
//! | [`process`] | information on processes from `/proc`, and signals |
//! | [`sockets`] | information on the connections of a port from `/proc` |
//! | [`mod@poll`] | wait for a condition, with a deadline |
//! | [`otelcol`] | the real OpenTelemetry Collector |
//! | [`prometheus`] | each release of the real Prometheus |
//! | [`promtool`] | checks of its tool |
//! | [`Temporary`] | a temporary directory, on disk or in memory |
//! | [`real_part`] | find an installed program, or skip the test |
//! | [`markdown`] | the commands and the code in a document |
//! | [`cargo`] | a replacement for `cargo run`, for commands in documents |

pub mod cargo;
pub mod console;
pub mod http;
pub mod load;
pub mod markdown;
pub mod otelcol;
pub mod poll;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod promtool;
pub mod ready;
pub mod real_part;
pub mod running;
pub mod sockets;

mod address;
mod build;
mod temporary;

pub use nix::sys::signal::Signal;

pub use crate::{
    address::Address,
    load::Load,
    poll::{SOON, poll},
    program::Program,
    running::Running,
    temporary::Temporary,
};
