//! Checks that code in documents is an excerpt of a file that is compiled, checked or run.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    Temporary,
    markdown::{self, Kind},
    prometheus,
};

use crate::workspace;

/// Languages that are checked, with the file extensions to search.
const EXCERPTS: [(&str, &str); 5] = [
    ("rust", "rs"),
    ("toml", "toml"),
    ("python", "py"),
    ("yaml", "yaml"),
    ("json", "json"),
];

/// Languages that need no check, such as diagrams.
const PICTURES: [&str; 2] = ["text", "mermaid"];

#[test]
fn code_in_a_document_is_an_excerpt_of_a_file_that_is_compiled() -> Result<()> {
    let files = workspace::files()?;
    let mut wrong = Vec::new();
    for (path, text) in workspace::documents()? {
        for part in markdown::read(&text)? {
            let Kind::Block {
                language,
                lines,
                not_run: None,
            } = part.kind
            else {
                continue;
            };
            let place = format!("{}:{}", path.display(), part.line);
            if let Some((_, ending)) = EXCERPTS.iter().find(|(name, _)| *name == language) {
                let is_found = files
                    .iter()
                    .filter(|file| file.extension().is_some_and(|found| found == *ending))
                    .any(|file| contains(file, &lines));
                if !is_found {
                    wrong.push(format!("{place}: no .{ending} file has this code"));
                }
            } else {
                let is_known = PICTURES.contains(&language.as_str());
                if !is_known && language != "console" && language != "promql" {
                    wrong.push(format!("{place}: nothing checks a block of {language}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whether a file has these consecutive lines. `…` stands for other lines, and indentation is ignored.
fn contains(file: &Path, lines: &[String]) -> bool {
    let text = fs::read_to_string(workspace::root().join(file)).unwrap_or_default();
    let found: Vec<_> = text.lines().map(words).collect();
    let wanted: Vec<_> = lines.iter().map(|line| words(line)).collect();
    let mut pieces = wanted.split(|line| ["// …", "# …"].contains(&line.as_str()));
    pieces.all(|piece| has_piece(&found, piece))
}

fn has_piece(found: &[String], wanted: &[String]) -> bool {
    let mut windows = found.windows(wanted.len().max(1));
    windows.any(|window| window == wanted)
}

/// A line without indentation and alignment.
pub(crate) fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_query_in_a_document_is_valid_for_prometheus() -> Result<()> {
    let mut rules = "groups:\n- name: documents\n  rules:\n".to_owned();
    let mut count = 0;
    for (_, text) in workspace::documents()? {
        for part in markdown::read(&text)? {
            if let Kind::Block {
                language, lines, ..
            } = part.kind
                && language == "promql"
            {
                for query in lines.iter().filter(|line| !line.starts_with('#')) {
                    count += 1;
                    let query = query.replace('\'', "''");
                    rules += &format!("  - record: query_{count}\n    expr: '{query}'\n");
                }
            }
        }
    }
    ensure!(count > 0, "no document has a query");
    let directory = Temporary::new("queries")?;
    let file = directory.path().join("rules.yml");
    fs::write(&file, rules)?;
    for promtool in prometheus::executables("promtool")? {
        let checked = Command::new(promtool)
            .args(["check", "rules"])
            .arg(&file)
            .output()
            .context("cannot run promtool")?;
        let errors = String::from_utf8_lossy(&checked.stderr);
        ensure!(checked.status.success(), "{errors}");
    }
    Ok(())
}
