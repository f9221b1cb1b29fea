//! What a Markdown file shows of commands and code: headings, fenced blocks and code spans, in their order.

use anyhow::{Result, bail};

/// Stands on the line before a block that no test runs, with the reason: `<!-- not run: it installs packages -->`.
const NOT_RUN: &str = "<!-- not run: ";

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The line it begins on, from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a part of a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A heading, without the marks.
    Heading {
        /// From 1, the title of the document.
        level: usize,
        /// The text.
        text: String,
    },
    /// A fenced block.
    Block {
        /// What the fence says of the language.
        language: String,
        /// The lines between the fences.
        lines: Vec<String>,
        /// Why no test runs it, if it is marked so.
        not_run: Option<String>,
    },
    /// Code in the running text or in a table.
    Span(String),
    /// The target of a link.
    Link(String),
}

/// Reads a document. Of Markdown it knows what the documents here use.
///
/// # Errors
///
/// When a fence is not closed, or has no language, or a block is indented instead of fenced: such blocks would go
/// unnoticed.
pub fn read(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut not_run = None;
    let mut after_blank = true;
    let mut lines = text.lines().zip(1..);
    while let Some((line_text, line)) = lines.next() {
        let mut push = |kind| parts.push(Part { line, kind });
        if let Some(language) = line_text.strip_prefix("```") {
            if language.is_empty() {
                bail!("line {line}: a fence without a language");
            }
            push(Kind::Block {
                language: language.to_owned(),
                lines: block(line, &mut lines)?,
                not_run: not_run.take(),
            });
        } else if let Some(reason) = line_text.strip_prefix(NOT_RUN) {
            not_run = Some(reason.trim_end_matches("-->").trim().to_owned());
        } else if line_text.starts_with('#') {
            let text = line_text.trim_start_matches('#');
            push(Kind::Heading {
                level: line_text.len() - text.len(),
                text: text.trim().to_owned(),
            });
        } else if after_blank && line_text.starts_with("    ") {
            bail!("line {line}: an indented block; put it between fences");
        } else {
            for span in line_text.split('`').skip(1).step_by(2) {
                push(Kind::Span(span.to_owned()));
            }
            for link in line_text.split("](").skip(1) {
                push(Kind::Link(
                    link.split(')').next().unwrap_or(link).to_owned(),
                ));
            }
        }
        after_blank = line_text.is_empty();
    }
    Ok(parts)
}

/// The lines up to the closing fence, which is taken too.
fn block<'a>(
    line: usize,
    lines: &mut impl Iterator<Item = (&'a str, usize)>,
) -> Result<Vec<String>> {
    let mut block = Vec::new();
    for (inside, _) in lines {
        if inside == "```" {
            return Ok(block);
        }
        block.push(inside.to_owned());
    }
    bail!("line {line}: a fence that is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_in_its_place() {
        let text = "# Title\n\nRun `ls` in [there](a/b.md).\n\n<!-- not run: slow -->\n```console\n$ ls\n# no heading\n```\n";
        let kinds: Vec<(usize, Kind)> = read(text)
            .unwrap()
            .into_iter()
            .map(|part| (part.line, part.kind))
            .collect();
        let heading = Kind::Heading {
            level: 1,
            text: "Title".to_owned(),
        };
        let block = Kind::Block {
            language: "console".to_owned(),
            lines: vec!["$ ls".to_owned(), "# no heading".to_owned()],
            not_run: Some("slow".to_owned()),
        };
        assert_eq!(
            kinds,
            [
                (1, heading),
                (3, Kind::Span("ls".to_owned())),
                (3, Kind::Link("a/b.md".to_owned())),
                (6, block),
            ]
        );
    }

    #[test]
    fn a_block_that_would_go_unnoticed_is_refused() {
        for text in ["```\nls\n```", "text\n\n    ls\n", "```sh\nls\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
