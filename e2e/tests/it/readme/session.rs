//! Runs the commands of a document: long-running programs in several terminals, and requests from another.

use std::{
    collections::BTreeMap,
    env, fs,
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use e2e::{Program, Running, SOON, Signal, Temporary, cargo, poll, program::Ended, ready::Ready};

use super::mask::mask;
use crate::workspace;

/// Ports in the documents. Tests replace them by free ports.
const PORTS: [&str; 8] = [
    "4317", "4318", "5100", "5101", "5102", "5200", "9090", "9100",
];

/// The port of the live view in the documents. Another one is used if it is taken.
const VIEW: &str = "4319";

/// A directory in the documents. Tests replace it by a temporary one.
const DIRECTORY: &str = "/dev/shm/shop";

/// Represents omitted lines or an omitted part of a line.
const ELLIPSIS: &str = "…";

/// How often to repeat the last request until a program prints the expected line. Documents say "a few times".
const AGAIN: Duration = Duration::from_millis(200);

/// Maximum number of output lines in the message of a failed test.
const LINES_TO_SHOW: usize = 40;

/// The terminals of one document.
pub(crate) struct Session {
    home: Temporary,
    /// Replacements for the ports and directories of the documents.
    instead: Vec<(&'static str, String)>,
    /// Maps process ids of the document to actual ones.
    pids: BTreeMap<u32, u32>,
    exports: String,
    running: Vec<Terminal>,
    /// The program that was stopped last.
    stopped: Option<Terminal>,
    last_request: Option<String>,
}

/// A terminal with a running program.
struct Terminal {
    command: String,
    /// The port. A second program with the same port replaces the first.
    port: &'static str,
    running: Running,
    /// The masked output that was read so far.
    masked: Vec<String>,
}

impl Session {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let home = Temporary::new(&format!("readme-{name}"))?;
        let mut instead = Vec::new();
        for port in PORTS {
            instead.push((port, free_port()?));
        }
        let directory = home.path().join("shop").display().to_string();
        instead.push((DIRECTORY, directory));
        let session = Self {
            home,
            instead,
            pids: BTreeMap::new(),
            exports: String::new(),
            running: Vec::new(),
            stopped: None,
            last_request: None,
        };
        session.write_cargo()?;
        // What curl says on a terminal and not here, and the reverse.
        fs::write(session.home.path().join(".curlrc"), "no-progress-meter\n")?;
        Ok(session)
    }

    /// Writes the `cargo` replacement for this session.
    fn write_cargo(&self) -> Result<()> {
        let endpoint = |port| self.to_ours(&format!("127.0.0.1:{port}"));
        let endpoints = [
            format!("--grpc-endpoint {}", endpoint("4317")),
            format!("--http-endpoint {}", endpoint("4318")),
        ];
        let scenarios = workspace::scenarios()?;
        let mut programs: Vec<(&str, &str, &[String])> = vec![
            ("collector", "", &endpoints),
            ("actix-prefork", "minimal", &[]),
            ("common", "shop", &[]),
        ];
        programs.extend(scenarios.iter().map(|name| (name.as_str(), "", &[][..])));
        cargo::stand_in(self.home.path(), &programs)
    }

    /// Runs a command of the document, and compares its output with the document.
    pub(crate) fn command(&mut self, command: &str, shown: &[String]) -> Result<()> {
        if let Some(variable) = command.strip_prefix("export ") {
            self.exports += &format!("export {}; ", self.to_ours(variable));
            return Ok(());
        }
        if is_program(command) {
            self.start(command, shown)?;
            return self.output(shown);
        }
        if is_request(command) {
            self.last_request = Some(command.to_owned());
        }
        if shown.is_empty() {
            return self.succeeds(command);
        }
        // What a program has just been asked for may show a moment later.
        let mut printed = String::new();
        let shows = poll("the output of the document", SOON, || {
            match self.run(command) {
                Ok(ended) => {
                    printed = self.to_documented(&(ended.stdout + &ended.stderr));
                    is_shown(shown, &printed).then_some(Ok(()))
                }
                Err(error) => Some(Err(error)),
            }
        });
        shows.with_context(|| format!("$ {command}\nprinted:\n{printed}"))?
    }

    /// Waits until the running programs have printed every line of the document.
    ///
    /// The order does not matter, because several processes print concurrently.
    pub(crate) fn output(&mut self, shown: &[String]) -> Result<()> {
        let began = Instant::now();
        let mut asked = Instant::now();
        let missing = loop {
            let printed = self.printed();
            let is_printed = |line: &&String| printed.iter().any(|found| is_same(line, found));
            let missing: Vec<_> = shown.iter().filter(|line| !is_printed(line)).collect();
            if missing.is_empty() {
                self.learn_pids(shown);
                return Ok(());
            }
            if began.elapsed() > SOON {
                break missing;
            }
            if asked.elapsed() > AGAIN {
                if let Some(request) = &self.last_request {
                    self.run(request)?;
                }
                asked = Instant::now();
            }
            thread::sleep(Duration::from_millis(50));
        };
        let printed = self.printed();
        let end = &printed[printed.len().saturating_sub(LINES_TO_SHOW)..];
        bail!(
            "no program has printed {missing:#?}, but at the end:\n{}",
            end.join("\n")
        )
    }

    /// Sends a request that the document mentions in the text, to check that the route exists.
    pub(crate) fn ask(&mut self, request: &str) -> Result<()> {
        let request = request.replacen("curl", "curl -o /dev/null -w %{http_code} -m 2", 1);
        let ended = self.run(&request)?;
        // 28: it takes longer than anybody waits for; 52: the worker ended without an answer. Both are shown on purpose.
        let code = ended.status.code();
        ensure!(
            matches!(code, Some(0 | 28 | 52)) && ended.stdout.trim() != "404",
            "`{request}` got {}, {}: {}",
            ended.stdout,
            ended.status,
            ended.stderr
        );
        Ok(())
    }

    /// Stops the latest program like Ctrl-C, and compares its output.
    pub(crate) fn interrupt(&mut self, shown: &[String]) -> Result<()> {
        let mut last = self.running.pop().context("no program runs")?;
        last.stop()?;
        self.stopped = Some(last);
        self.last_request = None;
        self.output(shown)
    }

    /// Stops all programs like Ctrl-C.
    pub(crate) fn end(&mut self) -> Result<()> {
        while let Some(mut terminal) = self.running.pop() {
            terminal.stop()?;
        }
        Ok(())
    }

    /// Starts a program in a new terminal. Replaces a program with the same ports.
    fn start(&mut self, command: &str, shown: &[String]) -> Result<()> {
        let command = command.trim_end_matches('&').trim_end();
        let port = port(command);
        if let Some(same) = self
            .running
            .iter()
            .position(|terminal| terminal.port == port)
        {
            self.running.remove(same).stop()?;
        }
        let program = self.shell(command).env("PORT", self.to_ours(port));
        let running = program.spawn()?;
        let is_up = |line: &str| {
            line.contains(": ready ") || line.contains("Booting worker") || line.contains("error: ")
        };
        let up = running.wait_for_line(is_up, SOON);
        let up = up.with_context(|| format!("`{command}` does not say that it is ready"))?;
        let is_error = |line: &str| line.contains("error: ");
        ensure!(
            !is_error(&up) || shown.iter().any(|line| is_error(line)),
            "`{command}` fails: {up}"
        );
        let console = running.console().lines().into_iter();
        let view = console.filter_map(|line| {
            let (_, port) = line.text.split_once("live view on http://127.0.0.1:")?;
            Some((VIEW, port.to_owned()))
        });
        self.instead.retain(|(documented, _)| *documented != VIEW);
        self.instead.extend(view);
        self.running.push(Terminal {
            command: command.to_owned(),
            port,
            running,
            masked: Vec::new(),
        });
        Ok(())
    }

    fn succeeds(&self, command: &str) -> Result<()> {
        let ended = self.run(command)?;
        ensure!(
            ended.status.success(),
            "`{command}` failed, {}: {}{}",
            ended.status,
            ended.stdout,
            ended.stderr
        );
        Ok(())
    }

    fn run(&self, command: &str) -> Result<Ended> {
        self.shell(command).run(SOON)
    }

    /// A shell that runs a command of the document in the root of the workspace.
    fn shell(&self, command: &str) -> Program {
        let root = workspace::root().display();
        let command = format!("cd '{root}'; {}{}", self.exports, self.to_ours(command));
        let path = env::var("PATH").unwrap_or_default();
        let home = self.home.path();
        Program::found("sh")
            .option("-c", command)
            .env("PATH", format!("{}:{path}", home.display()))
            .env("CURL_HOME", home)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PORT", self.to_ours("5100"))
    }

    /// The output of all programs, masked and with the ports and directories of the documents.
    fn printed(&mut self) -> Vec<String> {
        let mut terminals = std::mem::take(&mut self.running);
        let mut stopped = self.stopped.take();
        for terminal in terminals.iter_mut().chain(&mut stopped) {
            let lines = terminal.running.console().lines().into_iter();
            let new = lines.skip(terminal.masked.len());
            let masked = new.map(|line| mask(&self.to_documented(&line.text)));
            terminal.masked.extend(masked.collect::<Vec<_>>());
        }
        (self.running, self.stopped) = (terminals, stopped);
        let terminals = self.running.iter().chain(&self.stopped);
        terminals
            .flat_map(|terminal| terminal.masked.clone())
            .collect()
    }

    /// Records which actual process ids match those of a ready line in the document.
    fn learn_pids(&mut self, shown: &[String]) {
        let documented = shown.iter().find_map(|line| Ready::parse(line));
        let consoles = self.running.iter().rev();
        let printed = consoles
            .flat_map(|terminal| terminal.running.console().lines())
            .find_map(|line| Ready::parse(&line.text));
        if let (Some(documented), Some(printed)) = (documented, printed) {
            self.pids.extend(documented.master().zip(printed.master()));
            let pids = documented.serving().into_iter().zip(printed.serving());
            self.pids.extend(pids);
        }
    }

    fn to_ours(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (documented, ours) in &self.instead {
            text = text.replace(documented, ours);
        }
        for (documented, ours) in &self.pids {
            let word = |text: &str| format!(" {text} ");
            let spaced =
                word(&text).replace(&word(&documented.to_string()), &word(&ours.to_string()));
            text = spaced.trim().to_owned();
        }
        text
    }

    fn to_documented(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (documented, ours) in &self.instead {
            text = text.replace(ours, documented);
        }
        text
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Only a session that has failed has something left to end.
        let _ = self.end();
    }
}

impl Terminal {
    fn stop(&mut self) -> Result<()> {
        // A program that has refused to start is gone, and its output is compared.
        let _ = self.running.signal_group(Signal::SIGINT);
        let ended = self.running.wait_exit(SOON);
        ended.with_context(|| format!("`{}` does not stop", self.command))?;
        let gone = self.running.wait_gone(SOON);
        gone.with_context(|| format!("`{}` leaves something behind", self.command))
    }
}

/// Whether a command starts a program that runs until it is stopped.
pub(crate) fn is_program(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let first = words.find(|word| !word.contains('='));
    let second = words.next();
    command.ends_with('&')
        || first == Some("cargo") && second == Some("run")
        || first == Some("task") && second.is_some_and(|task| task.starts_with("example"))
}

/// The port of a program, as in the document.
fn port(command: &str) -> &'static str {
    let named = PORTS.iter().find(|port| {
        command.contains(&format!(" PORT={port} ")) || command.starts_with(&format!("PORT={port} "))
    });
    match named {
        Some(port) => port,
        None if command.contains("-p collector") => "4318",
        None if command.contains("gunicorn") => "5200",
        None => "5100",
    }
}

/// Whether a command sends a request to the service, not to its metrics.
fn is_request(command: &str) -> bool {
    command.starts_with("curl ") && !command.contains("/metrics")
}

/// Whether the output matches the document line by line. An ellipsis matches anything.
fn is_shown(shown: &[String], printed: &str) -> bool {
    let printed: Vec<_> = printed.lines().map(mask).collect();
    let is_found = |wanted: &[String], found: &[String]| {
        let mut pairs = wanted.iter().zip(found);
        wanted.len() <= found.len() && pairs.all(|(wanted, found)| is_same(wanted, found))
    };
    let mut rest = printed.as_slice();
    let pieces: Vec<_> = shown.split(|line| line == ELLIPSIS).collect();
    for (index, piece) in pieces.iter().enumerate() {
        // The first piece is at the start, the last at the end, and the only one is everything.
        let is_last = index + 1 == pieces.len();
        let from = if is_last {
            rest.len().saturating_sub(piece.len())
        } else {
            0
        };
        let to = if index == 0 { 0 } else { rest.len() };
        let Some(start) = (from..=to).find(|start| is_found(piece, &rest[*start..])) else {
            return false;
        };
        rest = &rest[start + piece.len()..];
    }
    true
}

/// Whether a line of the document matches this masked line. An ellipsis matches anything.
fn is_same(shown: &str, masked: &str) -> bool {
    let shown = mask(shown);
    let pieces: Vec<_> = shown.split(ELLIPSIS).collect();
    let [first, middle @ .., last] = pieces.as_slice() else {
        return shown == masked;
    };
    let rest = masked
        .strip_prefix(first)
        .and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = rest else {
        return false;
    };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    true
}

/// A free port below the range that the kernel uses for port 0.
fn free_port() -> Result<String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + u16::try_from(std::process::id() % 10_000)?;
    for _ in 0..1000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port.to_string());
        }
    }
    bail!("no free port from {base} on")
}

#[test]
fn only_an_ellipsis_stands_for_any_lines() {
    let shows = |shown: &str, printed: &str| {
        let shown: Vec<_> = shown.split(' ').map(str::to_owned).collect();
        is_shown(&shown, &printed.replace(' ', "\n"))
    };
    assert!(shows("a b", "a b"));
    assert!(!shows("a b", "a b c"));
    assert!(shows("a … c", "a b b c"));
    assert!(!shows("a … c", "a b c d"));
    assert!(shows("… b … d", "a b c d"));
    assert!(!shows("… d … b …", "a b c d"));
    assert!(is_same("a …c… e", "a b c d e"));
    assert!(!is_same("a …x… e", "a b c d e"));
    assert!(!is_same("a b", "a b c"));
}
