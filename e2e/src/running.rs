//! A running program.

use std::{
    fmt::Write,
    net::SocketAddr,
    process::{Child, ExitStatus},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    Address,
    console::{Console, Stream},
    poll::{SOON, poll},
    process::{self, Stat},
    ready::Ready,
};

/// Environment variable that marks all descendants of one start.
pub(crate) const MARK: &str = "E2E_PROGRAM";

/// A running program.
///
/// Dropping it kills the first process. All descendants must then exit by themselves; a remaining process makes the test
/// fail.
pub struct Running {
    child: Child,
    console: Console,
    mark: String,
    patience: Duration,
    ready: Option<Ready>,
}

impl Running {
    pub(crate) fn new(mut child: Child, mark: String, patience: Duration) -> Self {
        let console = Console::default();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            console.follow(Stream::Out, stdout);
            console.follow(Stream::Err, stderr);
        }
        Self {
            child,
            console,
            mark,
            patience,
            ready: None,
        }
    }

    /// The process that was started: the master of a program with workers.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The output of the program.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The ready line.
    ///
    /// # Errors
    ///
    /// Returns an error if the program was not waited for.
    pub fn ready(&self) -> Result<&Ready> {
        self.ready
            .as_ref()
            .context("the test has not waited for the ready line")
    }

    /// The TCP port of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if the program was not waited for, or serves on no port.
    pub fn addr(&self) -> Result<SocketAddr> {
        match self.address()? {
            Address::Tcp(address) => Ok(address),
            Address::Unix(path) => bail!("the program serves on {}, not on a port", path.display()),
        }
    }

    /// The address of the program.
    ///
    /// # Errors
    ///
    /// Returns an error if the program was not waited for.
    pub fn address(&self) -> Result<Address> {
        Ok(self.ready()?.address.clone())
    }

    /// The living children of the program's first process: its workers, in any order.
    pub fn workers(&self) -> Vec<u32> {
        let children = process::children(self.pid()).into_iter();
        children
            .filter(|stat| !stat.is_zombie())
            .map(|stat| stat.pid)
            .collect()
    }

    /// All living descendants of this start, including those whose parent has exited.
    pub fn processes(&self) -> Vec<Stat> {
        process::with_variable(MARK, &self.mark)
    }

    /// Sends a signal to the program's first process.
    ///
    /// # Errors
    ///
    /// Returns an error if the process has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        process::send(self.pid(), signal)
    }

    /// Sends a signal to the whole process group, as Ctrl-C in a terminal does.
    ///
    /// # Errors
    ///
    /// Returns an error if the group has no process.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(Pid::from_raw(self.pid().cast_signed()), signal)
            .with_context(|| format!("cannot send {signal} to process group {}", self.pid()))
    }

    /// Waits for a line on either stream that satisfies `wanted`.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed without such a line.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, within: Duration) -> Result<String> {
        self.console.wait_for_line(wanted, within)
    }

    /// Waits for the ready line.
    ///
    /// # Errors
    ///
    /// Returns an error if the program ends, or `within` has passed.
    pub fn wait_ready(&mut self, within: Duration) -> Result<()> {
        let found = poll("the ready line", within, || {
            let lines = self.console.lines();
            let ready = lines.iter().find_map(|line| Ready::parse(&line.text));
            match (ready, self.child.try_wait()) {
                (Some(ready), _) => Some(Ok(ready)),
                (None, Ok(None)) => None,
                (None, Ok(Some(status))) => Some(Err(status.to_string())),
                (None, Err(error)) => Some(Err(error.to_string())),
            }
        });
        match found.with_context(|| self.console.to_string())? {
            Ok(ready) => self.ready = Some(ready),
            Err(end) => {
                // Its last output may still be in the pipe.
                self.wait_gone(SOON)?;
                bail!("exited before it was ready, {end}; {}", self.console);
            }
        }
        Ok(())
    }

    /// Waits until the program's first process has exited.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed.
    pub fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let exited = poll("the program's end", within, || {
            self.child.try_wait().transpose()
        });
        Ok(exited.with_context(|| self.console.to_string())??)
    }

    /// Waits until all descendants of this start have exited and all their output is read.
    ///
    /// # Errors
    ///
    /// Returns an error if `within` has passed. The error names the processes.
    pub fn wait_gone(&self, within: Duration) -> Result<()> {
        let gone = poll("every process to end", within, || {
            (self.processes().is_empty() && self.console.is_complete()).then_some(())
        });
        gone.with_context(|| format!("{}; {}", list(&self.processes()), self.console))
    }

    /// Kills the program. Returns a list of the processes that did not exit although their master was gone.
    fn end(&mut self) -> Vec<Stat> {
        // An error means that it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let patience = if thread::panicking() {
            Duration::ZERO
        } else {
            self.patience
        };
        if self.wait_gone(patience).is_ok() {
            return Vec::new();
        }
        let left = self.processes();
        for stat in &left {
            let _ = process::send(stat.pid, Signal::SIGKILL);
        }
        left
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.end();
        if thread::panicking() {
            eprintln!("process {}: {}", self.pid(), self.console);
        } else if !left.is_empty() {
            panic!(
                "the end of process {} left {}; {}",
                self.pid(),
                list(&left),
                self.console
            );
        }
    }
}

fn list(processes: &[Stat]) -> String {
    let mut text = format!("{} processes alive:", processes.len());
    for stat in processes {
        // Writing to a string cannot fail.
        let _ = write!(text, " {} ({}, {})", stat.pid, stat.name, stat.state);
    }
    text
}
