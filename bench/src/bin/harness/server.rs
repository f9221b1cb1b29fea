//! Our server and its peers, with the same interface.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use e2e::{
    Load, Program, Running, SOON, Signal, http, load::Traffic, poll, process, real_part::real_part,
};

pub(crate) const WORKERS: usize = 4;

const CLIENTS: usize = 64;

/// How long a client waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// Requests to wait for before a change, so that it happens under load.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Gunicorn,
    /// actix-web's own server: one process that serves on one thread.
    ActixWeb,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Gunicorn => "gunicorn",
            Self::ActixWeb => "bare actix-web",
        }
    }
}

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) workers: usize,
    /// gunicorn's `sync` workers do not support keep-alive. Its `gthread` workers, with four threads, do.
    pub(crate) keep_alive: bool,
    pub(crate) arguments: Vec<String>,
    /// While this file exists, workers exit at boot.
    pub(crate) crash_switch: Option<&'a Path>,
}

impl Setup<'_> {
    pub(crate) fn new(keep_alive: bool) -> Self {
        Self {
            workers: WORKERS,
            keep_alive,
            arguments: Vec::new(),
            crash_switch: None,
        }
    }

    pub(crate) fn start(&self, kind: Kind) -> Result<Server> {
        let (program, address) = match kind {
            Kind::Ours => (self.ours(), None),
            Kind::Gunicorn => {
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
                (self.gunicorn(address)?, Some(address))
            }
            Kind::ActixWeb => (Program::bin("bench", "bare").profile("release"), None),
        };
        let program = self.arguments.iter().fold(program, Program::arg);
        let program = match self.crash_switch {
            Some(path) => program.env("CRASH_AT_BOOT", path),
            None => program,
        };
        let running = match address {
            None => program.start()?,
            Some(_) => program.spawn()?,
        };
        let server = Server {
            kind,
            address: address.map_or_else(|| running.addr(), Ok)?,
            running,
        };
        server.wait_for_workers(self.workers)?;
        Ok(server)
    }

    fn ours(&self) -> Program {
        Program::example("actix-prefork", "hello")
            .profile("release")
            .env("RUST_LOG", "warn")
            .option("--workers", self.workers)
    }

    fn gunicorn(&self, address: SocketAddr) -> Result<Program> {
        let found = real_part("gunicorn", "pip install -r e2e/requirements.txt")?;
        let program = Program::found(found.context("gunicorn is gone from PATH")?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--no-control-socket")
            .option("--chdir", concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))
            .option("--log-level", "warning")
            .option("--bind", address)
            .option("--workers", self.workers);
        Ok(if self.keep_alive {
            program
                .option("--worker-class", "gthread")
                .option("--threads", 4)
        } else {
            program.option("--worker-class", "sync")
        }
        .arg("hello:app"))
    }
}

/// A server that is running.
pub(crate) struct Server {
    kind: Kind,
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn workers(&self) -> BTreeSet<u32> {
        match self.kind {
            Kind::Ours | Kind::Gunicorn => self.running.workers().into_iter().collect(),
            Kind::ActixWeb => BTreeSet::from([self.running.pid()]),
        }
    }

    /// Waits until there are `count` workers and each has answered.
    pub(crate) fn wait_for_workers(&self, count: usize) -> Result<()> {
        let mut answered = BTreeSet::new();
        poll(&format!("{count} workers that answer"), 2 * SOON, || {
            for _ in 0..8 {
                answered.extend(self.pid_that_answers());
            }
            let workers = self.workers();
            (workers.len() == count && workers.is_subset(&answered)).then_some(())
        })
        .with_context(|| self.running.console().to_string())
    }

    /// The process that answers a new connection, if any.
    pub(crate) fn pid_that_answers(&self) -> Option<u32> {
        http::get(self.address, "/").ok()?.pid()
    }

    pub(crate) fn load(&self, keep_alive: bool) -> Result<Traffic> {
        self.load_of(CLIENTS, keep_alive)
    }

    pub(crate) fn load_of(&self, clients: usize, keep_alive: bool) -> Result<Traffic> {
        let load = Load::on(self.address).clients(clients).patience(PATIENCE);
        let traffic = load.keep_alive(keep_alive).start()?;
        std::thread::sleep(WARM_UP);
        Ok(traffic)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.running.signal(signal)
    }
}

/// Kills all processes of a server that was not stopped: workers of gunicorn exit slowly after their master was killed.
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.running.signal(Signal::SIGKILL);
        for stat in self.running.processes() {
            let _ = process::send(stat.pid, Signal::SIGKILL);
        }
    }
}
