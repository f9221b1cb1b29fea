//! Tests of the documents: runs their commands, compares the output, and checks that their code is compiled.

pub(crate) mod excerpts;
mod mask;
mod session;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    markdown::{self, Kind},
    real_part::real_part,
};

use self::session::Session;
use crate::{copy, workspace};

/// Maximum number of blocks that are marked as not run, in all documents.
const NOT_RUN_AT_MOST: usize = 16;

/// Installed programs that the documents use.
const PARTS: [(&str, &str); 3] = [
    ("curl", "Debian: apt-get install curl"),
    ("gunicorn", "pip install -r e2e/requirements.txt"),
    ("task", "pip install -r e2e/requirements.txt"),
];

#[test]
fn every_command_of_the_documents_prints_what_they_show() -> Result<()> {
    let mut failed = Vec::new();
    for (path, text) in workspace::documents()? {
        let followed = follow(&path, &text).with_context(|| path.display().to_string());
        failed.extend(followed.err().map(|error| format!("{error:#}")));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n\n"));
    Ok(())
}

#[test]
fn few_commands_are_marked_as_not_run_and_each_says_why() -> Result<()> {
    let mut marked = Vec::new();
    for (path, text) in workspace::documents()? {
        for part in markdown::read(&text)? {
            if let Kind::Block {
                not_run: Some(reason),
                ..
            } = part.kind
            {
                ensure!(!reason.is_empty(), "{}: no reason", path.display());
                marked.push(format!("{}:{}: {reason}", path.display(), part.line));
            }
        }
    }
    println!("not run:\n{}", marked.join("\n"));
    assert!(marked.len() <= NOT_RUN_AT_MOST, "{marked:#?}");
    Ok(())
}

/// Runs all commands of a document.
fn follow(path: &Path, text: &str) -> Result<()> {
    let parts = markdown::read(text)?;
    for (part, how_to_get) in PARTS {
        let is_used = |line: &str| line.starts_with("$ ") && line.contains(&format!("{part} "));
        if text.lines().any(is_used) && real_part(part, how_to_get)?.is_none() {
            return Ok(());
        }
    }
    let name = path.display().to_string().replace('/', "-");
    let mut session = Session::new(&name)?;
    let mut section = String::new();
    for part in parts {
        let done = match part.kind {
            Kind::Heading { text, .. } => {
                section = text;
                Ok(())
            }
            Kind::Block {
                language,
                lines,
                not_run: None,
            } if language == "console" && section != copy::SECTION => block(&mut session, &lines),
            Kind::Span(code) if code.starts_with("cargo run -p ") => session.command(&code, &[]),
            Kind::Span(code) if code.starts_with("curl ") => session.ask(&code),
            _ => Ok(()),
        };
        done.with_context(|| format!("line {}", part.line))?;
    }
    session.end()
}

/// The output of a terminal for Ctrl-C.
const CTRL_C: &str = "^C";

/// Runs a block: commands after `$`, or Ctrl-C, each with its output. A block without a command is output of the running
/// programs.
fn block(session: &mut Session, lines: &[String]) -> Result<()> {
    let mut steps: Vec<(Option<&str>, Vec<String>)> = vec![(None, Vec::new())];
    for line in lines {
        if let Some(command) = line
            .strip_prefix("$ ")
            .or((line == CTRL_C).then_some(CTRL_C))
        {
            steps.push((Some(command), Vec::new()));
        } else if let Some((_, shown)) = steps.last_mut() {
            shown.push(line.clone());
        }
    }
    for (command, shown) in steps {
        match command {
            Some(CTRL_C) => session.interrupt(&shown)?,
            Some(command) => session.command(command, &shown)?,
            None => session.output(&shown)?,
        }
    }
    Ok(())
}

#[test]
fn a_document_with_wrong_output_is_detected() -> Result<()> {
    let refused = |text: &str| follow(Path::new("made-up.md"), text).is_err();
    assert!(!refused("```console\n$ printf 'a\\nb\\n'\na\nb\n```\n"));
    assert!(refused("```console\n$ false\n```\n"));
    assert!(refused("```console\n$ cargo run -p no-such\n```\n"));
    if real_part("curl", PARTS[0].1)?.is_none() {
        return Ok(());
    }
    assert!(refused(
        "`cargo run -p logs` and `curl localhost:5100/no-such`"
    ));
    Ok(())
}
