//! The part of BENCHMARKS.md that is measured.

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

/// Replaces what stands between the marks.
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
            "{} has not both of the lines `{BEGIN}` and `{END}`",
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

/// The lines in which somebody else is better, and the goals that are missed.
fn behind(out: &mut impl Write, results: &Results) -> fmt::Result {
    let missed: Vec<&Row> = results
        .rows()
        .filter(|row| row.is_reached() == Some(false))
        .collect();
    let with_goal = results.rows().filter(|row| row.goal.is_some()).count();
    writeln!(
        out,
        "### Where we lose\n\nOf {with_goal} goals, {} are missed{}\n",
        missed.len(),
        if missed.is_empty() { "." } else { ":" }
    )?;
    for row in &missed {
        let [what, ours, peer, theirs, ratio, goal, _] = Section::cells(row);
        let peer = if peer.is_empty() {
            String::new()
        } else {
            format!("; {peer}: {theirs}, ratio {ratio}")
        };
        writeln!(out, "- {what}: {ours}{peer}; goal {goal}")?;
    }
    let behind = results
        .rows()
        .filter(|row| row.is_behind() == Some(true) && row.is_reached() != Some(false));
    writeln!(
        out,
        "\nLines without a goal, or with one that is reached, in which the other side is ahead:\n"
    )?;
    for row in behind {
        let [what, ours, peer, theirs, ratio, ..] = Section::cells(row);
        let ratio = if ratio.is_empty() {
            String::new()
        } else {
            format!(", ratio {ratio}")
        };
        writeln!(out, "- {what}: {ours}; {peer}: {theirs}{ratio}")?;
    }
    writeln!(out)
}
