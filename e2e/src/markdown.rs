//! Reads headings, fenced code blocks, code spans and links of a Markdown file, in their order.

use anyhow::{Result, bail};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

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

/// Parses a document.
///
/// # Errors
///
/// Returns an error for an unclosed fence, a fence without a language, and an indented block. Tests would overlook such
/// blocks.
pub fn read(text: &str) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut not_run = None;
    // The text of the heading or block that is being read.
    let mut inside: Option<String> = None;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = 1 + text[..range.start].matches('\n').count();
        let kind = match event {
            Event::Start(Tag::Heading { .. }) => {
                inside = Some(String::new());
                continue;
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                match kind {
                    CodeBlockKind::Indented => {
                        bail!("line {line}: an indented block; put it between fences")
                    }
                    CodeBlockKind::Fenced(language) if language.is_empty() => {
                        bail!("line {line}: a fence without a language")
                    }
                    CodeBlockKind::Fenced(_) => inside = Some(String::new()),
                }
                if !text[range].trim_end().ends_with("\n```") {
                    bail!("line {line}: a fence that is not closed");
                }
                continue;
            }
            Event::Text(text) => {
                if let Some(inside) = &mut inside {
                    *inside += &text;
                }
                continue;
            }
            Event::End(TagEnd::Heading(level)) => Kind::Heading {
                level: level as usize,
                text: inside.take().unwrap_or_default(),
            },
            Event::End(TagEnd::CodeBlock) => Kind::Block {
                language: text[range].lines().next().unwrap_or_default()[3..].to_owned(),
                lines: inside
                    .take()
                    .unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect(),
                not_run: not_run.take(),
            },
            Event::Code(code) => match &mut inside {
                Some(heading) => {
                    *heading += &format!("`{code}`");
                    continue;
                }
                None => Kind::Span(code.into_string()),
            },
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Kind::Link(dest_url.into_string())
            }
            Event::Html(html) => {
                let reason = html
                    .strip_prefix(NOT_RUN)
                    .and_then(|rest| rest.split_once("-->"));
                not_run = reason
                    .map(|(reason, _)| reason.trim().to_owned())
                    .or(not_run);
                continue;
            }
            _ => continue,
        };
        parts.push(Part { line, kind });
    }
    Ok(parts)
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
