//! A page with all figures of one benchmark program, `docs/benchmarks/PROGRAM.md`.

use std::fmt;

use bench::{Row, Section};

use crate::results::Part;

/// The page of a part.
pub(crate) struct Page<'a>(pub(crate) &'a str, pub(crate) &'a Part);

impl fmt::Display for Page<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, part) = self;
        let Part {
            measured,
            commit,
            machine,
            idle,
            ..
        } = part;
        writeln!(
            out,
            "<!-- written by `task bench` -->\n\n# Benchmarks: {name}\n"
        )?;
        let idle = match idle {
            Some(idle) => format!(
                "{:.0} % of its processor time was idle before",
                100.0 * idle
            ),
            None => {
                "other programs ran at the same time, so trust only large differences".to_owned()
            }
        };
        writeln!(
            out,
            "Measured on {measured} at commit {commit}, on {machine}; {idle}."
        )?;
        writeln!(
            out,
            "[The method](../../BENCHMARKS.md#method) is the same for all."
        )?;
        for section in &part.sections {
            table(out, section)?;
        }
        Ok(())
    }
}

fn table(out: &mut fmt::Formatter<'_>, section: &Section) -> fmt::Result {
    let Section {
        title,
        method,
        command,
        rows,
    } = section;
    writeln!(out, "\n## {title}\n\n{method} Command: `{command}`\n")?;
    writeln!(out, "| {} |", Section::HEADINGS.join(" | "))?;
    writeln!(out, "|{}", "---|".repeat(Section::HEADINGS.len()))?;
    rows.iter()
        .try_for_each(|row| writeln!(out, "{}", line(row)))
}

/// A row of a table in Markdown.
pub(crate) fn line(row: &Row) -> String {
    let cells = Section::cells(row).map(|cell| cell.replace('|', "\\|"));
    format!("| {} |", cells.join(" | "))
}
