//! What a test across the workspace's programs needs.
//!
//! Tests start the real programs as real processes, on port 0, and wait with a deadline instead of sleeping.
//!
//! | module | what it is for |
//! |---|---|
//! | [`program`] | build a program of the workspace and start it |
//! | [`running`] | watch a program, stop it, prove that nothing of it is left |
//! | [`Address`] | where a program serves: a port or a Unix domain socket |
//! | [`ready`] | the line with which a program says where it listens |
//! | [`console`] | what a program has printed so far |
//! | [`load`] | a load client that accounts for every request and classifies every failure |
//! | [`http`] | one request at a time, byte for byte |
//! | [`process`] | what `/proc` tells about processes, and signals to them |
//! | [`sockets`] | what `/proc` tells about the connections of a port |
//! | [`mod@poll`] | wait for a condition, with a deadline |
//! | [`otelcol`] | the real OpenTelemetry Collector |
//! | [`prometheus`] | the real Prometheus and `promtool` |
//! | [`Temporary`] | a directory that goes with the test, on disk or in memory |
//! | [`real_part`] | find a program that is not built here, or skip the test |
//! | [`markdown`] | the commands and the code that a document shows |
//! | [`cargo`] | a stand-in for `cargo run`, for commands as a reader types them |

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
