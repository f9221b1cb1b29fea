//! Reads headings, fenced code blocks, code spans and links of a Markdown file, in their order.

use anyhow::{Result, bail};

/// Marks a block that no test runs, on the line before it, with the reason: `<!-- not run: it installs packages -->`.
const NOT_RUN: &str = "<!-- not run: ";

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its first line, from 1.
    pub line: usize,
    /// The kind of this part.
    pub kind: Kind,
}

/// The kind of a part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A heading.
    Heading {
        /// The level. 1 is the title of the document.
        level: usize,
        /// The text without the marks.
        text: String,
    },
    /// A fenced block.
    Block {
        /// The language after the opening fence.
        language: String,
        /// The lines between the fences.
        lines: Vec<String>,
        /// The reason why no test runs it, if it is marked.
        not_run: Option<String>,
    },
    /// A code span in a paragraph or a table.
    Span(String),
    /// The target of a link.
    Link(String),
}

/// Parses a document. It supports the Markdown syntax that the documents here use.
///
/// # Errors
///
/// Returns an error for an unclosed fence, a fence without a language, and an indented block. Tests would overlook such
/// blocks.
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

/// Takes the lines up to and including the closing fence.
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
    fn a_block_that_tests_would_overlook_is_refused() {
        for text in ["```\nls\n```", "text\n\n    ls\n", "```sh\nls\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
