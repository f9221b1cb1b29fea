//! Builds and starts programs, usually of the workspace.

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

/// Variables that a program inherits from the test. All others could change its behaviour (`OTEL_*`, `RUST_LOG`,
/// proxies, ports), so a test must set them explicitly.
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

/// Starts a program as the leader of a session and a process group, as systemd does. In the session of the test, the
/// kernel would continue stopped processes when their master exits (setpgid(2), on orphaned process groups), which does
/// not happen in production.
const OWN_SESSION: &str = "setsid";

/// How to start a program. By default, a program of the workspace listens on a free loopback port.
#[derive(Clone, Debug)]
pub struct Program {
    executable: Executable,
    under: Vec<OsString>,
    socket: Option<Arc<OwnedFd>>,
    args: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    patience: Duration,
}

/// The executable.
#[derive(Clone, Debug)]
enum Executable {
    Built(Artifact),
    Found(PathBuf),
}

impl Program {
    /// An installed program, such as one found by [`real_part`](crate::real_part::real_part). Its port is not set.
    pub fn found(executable: impl Into<PathBuf>) -> Self {
        Self::with(Executable::Found(executable.into()))
    }

    /// The program with the same name as its package.
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

    /// Builds with this profile instead of the one of the running test.
    #[must_use]
    pub fn profile(mut self, profile: &str) -> Self {
        if let Executable::Built(artifact) = &mut self.executable {
            artifact.profile = Some(profile.to_owned());
        }
        self
    }

    /// Adds an argument for `cargo build`.
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
        // The socket is passed as stdin, and the shell moves it to the descriptor that systemd uses.
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

    /// Sets how long descendants may take to exit after the first process was killed. The default is [`SOON`].
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Starts the program and waits until it is ready.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be built or started, exits, or is not ready within [`SOON`].
    pub fn start(&self) -> Result<Running> {
        let mut running = self.spawn()?;
        running.wait_ready(SOON)?;
        Ok(running)
    }

    /// Starts the program and waits until it has exited, for example to test an error message.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be built or started, or runs for longer than `within`.
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

    /// Starts the program without waiting.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be built or started.
    pub fn spawn(&self) -> Result<Running> {
        let mark = next_mark();
        let mut command = self.command()?;
        command.env(MARK, &mark);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Running::new(child, mark, self.patience))
    }

    /// The path of the executable. Builds it if necessary.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be built.
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

/// The exit status and the output of a program.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit status.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}
