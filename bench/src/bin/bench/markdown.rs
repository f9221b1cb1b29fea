//! The generated part of BENCHMARKS.md.

use std::{
    fmt::{self, Write},
    fs,
    path::Path,
};

use anyhow::{Context, Result};
use bench::{Row, Section};

use crate::results::{Part, Results};

const BEGIN: &str = "<!-- measured: what stands here is written by `task bench` -->";
const END: &str = "<!-- end of what is measured -->";

/// Replaces the text between the marks.
pub(crate) fn update(path: &Path, results: &Results) -> Result<()> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let marks = || {
        let (before, rest) = text.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    };
    let (before, after) = marks().with_context(|| {
        format!(
            "{} must contain both lines `{BEGIN}` and `{END}`",
            path.display()
        )
    })?;
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", Measured(results));
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

struct Measured<'a>(&'a Results);

impl fmt::Display for Measured<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        behind(out, self.0)?;
        for (name, part) in &self.0.parts {
            for section in &part.sections {
                table(out, name, part, section)?;
            }
        }
        Ok(())
    }
}

fn table(out: &mut impl Write, name: &str, part: &Part, section: &Section) -> fmt::Result {
    let Part {
        measured,
        commit,
        machine,
        load: [before, after],
        ..
    } = part;
    writeln!(out, "### {}\n\n{}\n", section.title, section.method)?;
    writeln!(
        out,
        "`{}` ({name}, {measured}, commit {commit}, on {machine}; load average {before:.1} before, {after:.1} after)\n",
        section.command
    )?;
    writeln!(out, "| {} |", Section::HEADINGS.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(Section::HEADINGS.len()))?;
    for row in &section.rows {
        writeln!(out, "| {} |", Section::cells(row).map(escaped).join(" | "))?;
    }
    writeln!(out)
}

fn escaped(cell: String) -> String {
    cell.replace('|', "\\|")
}

/// The rows where the peer is better, and the goals that are missed.
fn behind(out: &mut impl Write, results: &Results) -> fmt::Result {
    let lines = || {
        let sections = results.sections();
        sections.flat_map(|section| section.rows.iter().map(move |row| (section, row)))
    };
    let missed = || lines().filter(|(_, row)| row.is_reached() == Some(false));
    let goals = lines().filter(|(_, row)| row.goal.is_some()).count();
    let missing = match missed().count() {
        0 => "none is missed.".to_owned(),
        1 => "one is missed:".to_owned(),
        count => format!("{count} are missed:"),
    };
    writeln!(out, "### Where we lose\n\nOf {goals} goals, {missing}\n")?;
    for (section, row) in missed() {
        let [.., goal, _] = Section::cells(row);
        writeln!(out, "- {}; goal {goal}", compared(section, row))?;
    }
    writeln!(
        out,
        "\nOther rows where the peer is better by more than 5 % (rows against bare actix-web show the cost of a scenario):\n"
    )?;
    let behind = |row: &Row| row.is_behind() == Some(true) && row.is_reached() != Some(false);
    for (section, row) in lines().filter(|(_, row)| behind(row)) {
        writeln!(out, "- {}", compared(section, row))?;
    }
    writeln!(out)
}

/// A table row as one line of text.
fn compared(section: &Section, row: &Row) -> String {
    let [what, ours, peer, theirs, ratio, ..] = Section::cells(row);
    let mut phrase = format!("{}: {what}: {ours}", section.title);
    if !peer.is_empty() {
        phrase += &format!("; {peer}: {theirs}");
    }
    if !ratio.is_empty() {
        phrase += &format!(", ratio {ratio}");
    }
    phrase
}
