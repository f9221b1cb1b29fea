//! Tests of the worker harness with the example program `hello` of `common`.

mod address;
mod bad_input;
mod crash_loop;
mod hang;
mod master_death;
mod pid_one;
mod recycle;
mod reload;
mod scale;
mod signals;
mod slow_clients;
mod stages;
mod stalled;
mod stop;
mod stop_under_load;
mod systemd;
mod tls;
mod uds;
mod worker_death;

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use e2e::{Program, Running, SOON, Signal, Temporary, http, http::Connection, poll, process};
use nix::unistd::geteuid;

/// The example program with this number of workers.
fn hello(workers: usize) -> Program {
    Program::example("actix-prefork", "hello").option("--workers", workers)
}

/// The same for tests that count processes: on a busy machine a worker may get a helper.
fn hello_without_helpers(workers: usize) -> Program {
    hello(workers).option("--hang-timeout", 0)
}

/// Enough clients to keep a queue at every worker.
const CLIENTS: usize = 64;

/// Longer than any test waits, so only an interruption ends the request.
const FOREVER: &str = "/sleep?ms=3600000";

/// A graceful timeout longer than any test.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Stops every thread of a process, as a debugger or a suspended container does.
pub(crate) fn freeze(pid: u32) -> Result<()> {
    process::send(pid, Signal::SIGSTOP)?;
    poll(&format!("process {pid} to stop"), SOON, || {
        process::is_stopped(pid).then_some(())
    })
}

/// The program without a capability of root. Other users do not have it anyway.
fn without_capability(program: Program, capability: &str) -> Program {
    if !geteuid().is_root() {
        return program;
    }
    let [bounding, inherited] =
        ["bounding-set", "inh-caps"].map(|set| format!("--{set}=-{capability}"));
    program.under(&["setpriv", &bounding, &inherited])
}

/// Whether a line of the log says that something is wrong. A worker that a busy machine does not run for a moment counts
/// as stalled, which is no fault.
fn is_alarming(line: &str) -> bool {
    line.contains("ERROR") || line.contains("WARN") && !line.contains("event=worker.stalled")
}

/// Opens this number of connections with one answered request each, and keeps them open.
fn answered_connections(hello: &Running, count: usize) -> Result<Vec<Connection>> {
    let connect = |_| {
        let mut connection = Connection::open(hello.addr()?)?;
        connection.send_get("/")?;
        assert_eq!(connection.receive()?.status, 200);
        Ok(connection)
    };
    (0..count).map(connect).collect()
}

/// A connection on which this worker has answered a request.
fn connection_to(hello: &Running, worker: u32) -> Result<Connection> {
    poll(&format!("an answer from process {worker}"), SOON, || {
        let mut connections = answered_connections(hello, 1).ok()?;
        let mut connection = connections.pop()?;
        connection.send_get("/").ok()?;
        let answer = connection.receive().ok()?;
        (answer.pid() == Some(worker)).then_some(connection)
    })
}

/// Waits until a process that is not among `old` answers, and returns it.
fn wait_for_new_worker(hello: &Running, old: &[u32]) -> Result<u32> {
    let address = hello.address()?;
    poll("an answer from a new worker", SOON, || {
        let pid = http::get(address.clone(), "/").ok()?.pid()?;
        (!old.contains(&pid)).then_some(pid)
    })
}

/// Waits for exactly this number of workers, none of which is in `old`, and returns them.
fn wait_for_workers(hello: &Running, count: usize, old: &[u32]) -> Result<Vec<u32>> {
    let what = format!("{count} workers other than {old:?}");
    let found = poll(&what, 2 * SOON, || {
        let workers = hello.workers();
        let new = workers.iter().all(|pid| !old.contains(pid));
        (workers.len() == count && new).then_some(workers)
    });
    found.with_context(|| format!("there are {:?}; {}", hello.workers(), hello.console()))
}

/// Waits until the program has answered from each of these processes.
fn wait_for_answers_from(hello: &Running, workers: &[u32]) -> Result<()> {
    let addr = hello.addr()?;
    let mut silent: BTreeSet<u32> = workers.iter().copied().collect();
    poll("an answer from every worker", SOON, || {
        if let Some(pid) = http::get(addr, "/").ok().and_then(|answer| answer.pid()) {
            silent.remove(&pid);
        }
        silent.is_empty().then_some(())
    })
}

/// A file whose presence makes the example program misbehave. Dropping this removes it.
struct Switch(Temporary);

impl Switch {
    fn new(name: &str) -> Result<Self> {
        Ok(Self(Temporary::new(name)?))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("switch")
    }

    fn set(&self) -> Result<()> {
        Ok(fs::write(self.path(), "")?)
    }
}
