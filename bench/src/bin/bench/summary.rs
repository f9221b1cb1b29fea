//! The generated part of BENCHMARKS.md: the rows that matter most, and those where we lose.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Context, Result};
use bench::{Row, Section};

use crate::{page, results::Results};

const BEGIN: &str = "<!-- measured: what stands here is written by `task bench` -->";
const END: &str = "<!-- end of what is measured -->";

/// A row, in words that need no table around them.
struct Headline {
    says: &'static str,
    /// Section, row and peer.
    key: [&'static str; 3],
}

const fn headline(says: &'static str, key: [&'static str; 3]) -> Headline {
    Headline { says, key }
}

const KEEP_ALIVE: &str = "Requests, keep-alive";

/// What somebody wants to know who decides whether to use this.
const HEADLINES: [Headline; 10] = [
    headline(
        "CPU time of a request that is counted, pull from workers",
        [
            KEEP_ALIVE,
            "metrics-multi-process-pull, CPU per request",
            "bare actix-web",
        ],
    ),
    headline(
        "CPU time of a request that is counted, push",
        [
            KEEP_ALIVE,
            "metrics-push, CPU per request",
            "bare actix-web",
        ],
    ),
    headline(
        "CPU time of a request that is counted, push",
        [
            KEEP_ALIVE,
            "metrics-push, CPU per request",
            "Flask + gunicorn",
        ],
    ),
    headline(
        "CPU time of a request with two spans, two records and metrics",
        [
            KEEP_ALIVE,
            "all-signals, CPU per request",
            "the usual crates",
        ],
    ),
    headline(
        "adding one to a counter of the store",
        ["Store: updates", "counter.inc", "prometheus, in memory"],
    ),
    headline(
        "scrape of 8 workers with 10,000 counters each",
        ["Store: scrapes", "8 x 10,000 counters, warm", "Python"],
    ),
    headline(
        "scrape of the same, written by Python",
        [
            "Store: scrapes",
            "8 x 10,000 counters that Python wrote, warm",
            "Python",
        ],
    ),
    headline(
        "reload under load: one request in 1,000 takes longer than",
        [
            "Harness",
            "reload (HUP), 64 keep-alive clients: p99.9",
            "gunicorn",
        ],
    ),
    headline(
        "stop under load: requests lost",
        [
            "Harness",
            "stop (TERM), 64 keep-alive clients: lost",
            "gunicorn",
        ],
    ),
    headline(
        "a worker is killed: its successor answers after",
        [
            "Harness",
            "kill -9 of a worker, 64 keep-alive clients: first answer after",
            "gunicorn",
        ],
    ),
];

/// Where a peer is better, and why.
const LOSSES: [(Headline, &str); 3] = [
    (
        headline(
            "CPU time of a request with two spans",
            [
                KEEP_ALIVE,
                "traces, always_on, CPU per request",
                "bare actix-web",
            ],
        ),
        "Spans are made, batched and encoded on the processors that serve. Two log records cost a little more.",
    ),
    (
        headline(
            "a worker is killed: requests lost",
            [
                "Harness",
                "kill -9 of a worker, 64 keep-alive clients: lost",
                "gunicorn",
            ],
        ),
        "A worker of ours serves all its connections at once, so more requests are under way when it dies.",
    ),
    (
        headline(
            "first scrape of a process, 8 workers with 100 histograms",
            [
                "Store: scrapes",
                "8 x 100 histograms of 11 bounds, first",
                "prometheus, 1 process",
            ],
        ),
        "It reads and sorts what other processes wrote. Later scrapes only add.",
    ),
];

/// The rows of the page, for the chart.
pub(crate) fn rows(results: &Results) -> Result<Vec<Row>> {
    let losses = LOSSES.iter().map(|(headline, _)| headline);
    let headlines = HEADLINES.iter().chain(losses);
    headlines.map(|headline| row(results, headline)).collect()
}

fn row(results: &Results, Headline { says, key }: &Headline) -> Result<Row> {
    let what = (*says).to_owned();
    Ok(Row {
        what,
        ..results.row(*key)?.clone()
    })
}

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
    let text = format!("{before}{BEGIN}\n\n{}\n{END}{after}", measured(results)?);
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn measured(results: &Results) -> Result<String> {
    let mut out = format!(
        "| {} |\n|{}\n",
        Section::HEADINGS.join(" | "),
        "---|".repeat(Section::HEADINGS.len())
    );
    for headline in &HEADLINES {
        writeln!(out, "{}", page::line(&row(results, headline)?))?;
    }
    out += "\n## Where we lose\n\n";
    for (headline, why) in &LOSSES {
        let [what, ours, peer, theirs, ..] = Section::cells(&row(results, headline)?);
        writeln!(out, "- **{what}**: {ours}; {peer}: {theirs}. {why}")?;
    }
    let rows = || {
        results
            .parts
            .values()
            .flat_map(|part| &part.sections)
            .flat_map(|section| &section.rows)
    };
    let missed = rows().filter(|row| row.is_reached() == Some(false));
    let goals = rows().filter(|row| row.goal.is_some()).count();
    writeln!(
        out,
        "\nGoals were set before the work began: {goals}, of which {} are missed (`MISSED` in the tables).",
        missed.count()
    )?;
    Ok(out)
}
