//! The harness, by way of the example program `hello` of `common`: what users, operators and the kernel do to it.

mod address;
mod bad_input;
mod crash_loop;
mod master_death;
mod pid_one;
mod stop;
mod stop_under_load;
mod worker_death;

use std::time::Duration;

use anyhow::Result;
use e2e::{Program, Running, SOON, Signal, http, poll, process};

/// The example program with so many workers.
fn hello(workers: usize) -> Program {
    Program::example("common", "hello").option("--workers", workers)
}

/// Longer than any test waits: a request that only a cut ends.
const FOREVER: &str = "/sleep?ms=3600000";

/// A graceful timeout that no test lives to see.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Stops every thread of a process, as a debugger or a suspended container does.
pub(crate) fn freeze(pid: u32) -> Result<()> {
    process::send(pid, Signal::SIGSTOP)?;
    poll(&format!("process {pid} to stop"), SOON, || {
        process::is_stopped(pid).then_some(())
    })
}

/// Waits until a process that is not among `old` answers, and returns it.
fn wait_for_new_worker(hello: &Running, old: &[u32]) -> Result<u32> {
    let addr = hello.addr()?;
    poll("an answer from a new worker", SOON, || {
        let pid = http::get(addr, "/").ok()?.pid()?;
        (!old.contains(&pid)).then_some(pid)
    })
}
