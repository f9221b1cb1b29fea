//! How a program, of the workspace as a rule, is built and started.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    build::{self, Artifact, Target},
    console::Stream,
    poll::SOON,
    running::{MARK, Running},
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

/// How to start a program. One of the workspace listens on a free port of loopback unless told otherwise.
#[derive(Clone, Debug)]
pub struct Program {
    executable: Executable,
    under: Vec<OsString>,
    socket: Option<Arc<OwnedFd>>,
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
            socket: None,
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

    /// Passes a socket as systemd does (sd_listen_fds(3)), `count` times.
    #[must_use]
    pub fn socket(mut self, socket: impl Into<OwnedFd>, count: usize) -> Self {
        // The socket comes as stdin, and the shell moves it to where systemd puts it.
        let numbers = 3..3 + count;
        let moved: String = numbers.map(|number| format!("{number}<&0 ")).collect();
        let script = format!(
            "exec {moved} && exec </dev/null && LISTEN_PID=$$ LISTEN_FDS={count} exec \"$@\""
        );
        self.socket = Some(Arc::new(socket.into()));
        let shell = ["sh", "-c", &script, "sh"].map(OsString::from);
        self.under.extend(shell);
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
        let text = |stream| running.console().text(stream);
        Ok(Ended {
            status,
            stdout: text(Stream::Out),
            stderr: text(Stream::Err),
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
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Running::new(child, mark, self.patience))
    }

    /// The file that is executed, which is built first where it has to be.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn executable(&self) -> Result<PathBuf> {
        match &self.executable {
            Executable::Built(artifact) => build::executable(artifact),
            Executable::Found(path) => Ok(path.clone()),
        }
    }

    fn command(&self) -> Result<Command> {
        let executable = self.executable()?;
        let mut command = Command::new(OWN_SESSION);
        command
            .args(&self.under)
            .arg(executable)
            .args(&self.args)
            .env_clear()
            .envs(inherited())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(self.stdin()?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    fn stdin(&self) -> Result<Stdio> {
        Ok(match &self.socket {
            Some(socket) => socket.try_clone()?.into(),
            None => Stdio::null(),
        })
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
