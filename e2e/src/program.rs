//! A program, of the workspace as a rule, as a real process.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::{
    build::{self, Artifact, Target},
    console::{Console, Stream},
    poll::{SOON, poll},
    process::{self, Stat},
    ready::Ready,
};

/// The environment that a program gets from the test's own. Everything else could change how it behaves (`OTEL_*`,
/// `RUST_LOG`, proxies, ports), so a test has to say it.
const INHERITED: [&str; 8] = [
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
    "PATH",
    "TMPDIR",
    "USER",
    "XDG_RUNTIME_DIR",
];

/// Starts a program as the leader of a session and a process group, as systemd does. In the session of the test the
/// kernel would wake the program's stopped processes when their master ends (setpgid(2), on orphaned process groups),
/// which it does not do in production.
const OWN_SESSION: &str = "setsid";

/// Marks all processes that descend from one start, however they were started.
const MARK: &str = "E2E_PROGRAM";

/// How to start a program. One of the workspace listens on a free port of loopback unless told otherwise.
#[derive(Clone, Debug)]
pub struct Program {
    executable: Executable,
    under: Vec<OsString>,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    patience: Duration,
}

/// What is executed.
#[derive(Clone, Debug)]
enum Executable {
    Built(Artifact),
    Found(PathBuf),
}

impl Program {
    /// A program that is not built here, such as [`real_part`](crate::real_part::real_part) finds. What it listens on
    /// is its own affair.
    pub fn found(executable: impl Into<PathBuf>) -> Self {
        Self::with(Executable::Found(executable.into()))
    }

    /// The program of a package that has one of the same name.
    pub fn new(package: &str) -> Self {
        Self::of(package, Target::Bin(package.to_owned()))
    }

    /// One of several programs of a package.
    pub fn bin(package: &str, name: &str) -> Self {
        Self::of(package, Target::Bin(name.to_owned()))
    }

    /// An example program of a package.
    pub fn example(package: &str, name: &str) -> Self {
        Self::of(package, Target::Example(name.to_owned()))
    }

    fn of(package: &str, target: Target) -> Self {
        let artifact = Artifact {
            package: package.to_owned(),
            target,
            profile: None,
            build_args: Vec::new(),
        };
        Self::with(Executable::Built(artifact)).env("PORT", "0")
    }

    fn with(executable: Executable) -> Self {
        Self {
            executable,
            under: Vec::new(),
            args: Vec::new(),
            variables: Vec::new(),
            patience: SOON,
        }
    }

    /// Builds with this profile instead of that of the running test.
    #[must_use]
    pub fn profile(mut self, profile: &str) -> Self {
        if let Executable::Built(artifact) = &mut self.executable {
            artifact.profile = Some(profile.to_owned());
        }
        self
    }

    /// Builds with one more argument for `cargo build`.
    #[must_use]
    pub fn build_arg(mut self, arg: &str) -> Self {
        if let Executable::Built(artifact) = &mut self.executable {
            artifact.build_args.push(arg.to_owned());
        }
        self
    }

    /// Starts the program through another command, such as `["unshare", "--pid"]`.
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under = command.iter().map(OsString::from).collect();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds an option and its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl ToString) -> Self {
        self.arg(name).arg(value.to_string())
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// How long everything that descends from the program may take to go once its first process was killed; [`SOON`]
    /// unless told otherwise.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Starts the program and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started, ends, or does not say that it is ready within [`SOON`].
    pub fn start(&self) -> Result<Running> {
        let mut running = self.spawn()?;
        running.wait_ready(SOON)?;
        Ok(running)
    }

    /// Starts the program and waits until it has ended: for what it refuses to do.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started, or goes on for longer than `within`.
    pub fn run(&self, within: Duration) -> Result<Ended> {
        let mut running = self.spawn()?;
        let status = running.wait_exit(within)?;
        running.wait_gone(SOON)?;
        Ok(Ended {
            status,
            stdout: running.console.text(Stream::Out),
            stderr: running.console.text(Stream::Err),
        })
    }

    /// Starts the program and waits for nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started.
    pub fn spawn(&self) -> Result<Running> {
        let mark = next_mark();
        let mut command = self.command()?;
        command.env(MARK, &mark);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let console = Console::default();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            console.follow(Stream::Out, stdout);
            console.follow(Stream::Err, stderr);
        }
        Ok(Running {
            child,
            console,
            mark,
            patience: self.patience,
            ready: None,
        })
    }

    fn command(&self) -> Result<Command> {
        let executable = match &self.executable {
            Executable::Built(artifact) => build::executable(artifact)?,
            Executable::Found(path) => path.clone(),
        };
        let mut command = Command::new(OWN_SESSION);
        command
            .args(&self.under)
            .arg(executable)
            .args(&self.args)
            .env_clear()
            .envs(inherited())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let value = |name| Some((name, env::var_os(name)?));
    INHERITED.into_iter().filter_map(value)
}

fn next_mark() -> String {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    format!("{}-{number}", std::process::id())
}

/// How a program ended, and what it printed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

/// A program that was started.
///
/// When it is dropped, the program's first process is killed and everything that descends from it has to go by
/// itself: a process that stays makes the test fail.
pub struct Running {
    child: Child,
    console: Console,
    mark: String,
    patience: Duration,
    ready: Option<Ready>,
}

impl Running {
    /// The process that was started: the master of a program with workers.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The ready line.
    ///
    /// # Errors
    ///
    /// When the program was not waited for.
    pub fn ready(&self) -> Result<&Ready> {
        self.ready
            .as_ref()
            .context("nobody has waited for the ready line")
    }

    /// Where the program serves.
    ///
    /// # Errors
    ///
    /// When the program was not waited for.
    pub fn addr(&self) -> Result<SocketAddr> {
        Ok(self.ready()?.addr)
    }

    /// The living children of the program's first process: its workers, in no order.
    pub fn workers(&self) -> Vec<u32> {
        let children = process::children(self.pid()).into_iter();
        children
            .filter(|stat| !stat.is_zombie())
            .map(|stat| stat.pid)
            .collect()
    }

    /// Every living process that descends from this start, even one whose parent is gone.
    pub fn processes(&self) -> Vec<Stat> {
        process::with_variable(MARK, &self.mark)
    }

    /// Sends a signal to the program's first process.
    ///
    /// # Errors
    ///
    /// When the process has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send(self.pid(), signal)
    }

    /// Sends a signal to the whole process group, as Ctrl-C in a terminal does.
    ///
    /// # Errors
    ///
    /// When the group has no process.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(Pid::from_raw(self.pid().cast_signed()), signal)
            .with_context(|| format!("cannot send {signal} to process group {}", self.pid()))
    }

    /// Waits for a line on either stream that satisfies `wanted`.
    ///
    /// # Errors
    ///
    /// When `within` has passed without such a line.
    pub fn wait_for_line(&self, wanted: impl Fn(&str) -> bool, within: Duration) -> Result<String> {
        self.console.wait_for_line(wanted, within)
    }

    /// Waits for the ready line.
    ///
    /// # Errors
    ///
    /// When the program ends, or `within` has passed.
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
                // Its last words may still be in the pipe.
                self.wait_gone(SOON)?;
                bail!("ended before it was ready, {end}; {}", self.console);
            }
        }
        Ok(())
    }

    /// Waits until the program's first process has ended.
    ///
    /// # Errors
    ///
    /// When `within` has passed.
    pub fn wait_exit(&mut self, within: Duration) -> Result<ExitStatus> {
        let exited = poll("the program's end", within, || {
            self.child.try_wait().transpose()
        });
        Ok(exited.with_context(|| self.console.to_string())??)
    }

    /// Waits until no process descends from this start any more and all that they printed was read.
    ///
    /// # Errors
    ///
    /// When `within` has passed. The error names the processes.
    pub fn wait_gone(&self, within: Duration) -> Result<()> {
        let gone = poll("every process to end", within, || {
            (self.processes().is_empty() && self.console.is_complete()).then_some(())
        });
        gone.with_context(|| format!("{}; {}", list(&self.processes()), self.console))
    }

    /// Ends everything and lists what had to be killed although its master was gone.
    fn end(&mut self) -> Vec<Stat> {
        // An error means that it has ended already, which is all that is wanted.
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
            let _ = send(stat.pid, Signal::SIGKILL);
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

/// Sends a signal to any process.
///
/// # Errors
///
/// When there is no such process.
pub fn send(pid: u32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid.cast_signed()), signal)
        .with_context(|| format!("cannot send {signal} to process {pid}"))
}

fn list(processes: &[Stat]) -> String {
    let mut text = format!("{} processes alive:", processes.len());
    for stat in processes {
        // Writing to a string cannot fail.
        let _ = write!(text, " {} ({}, {})", stat.pid, stat.name, stat.state);
    }
    text
}
