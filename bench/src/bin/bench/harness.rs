//! The figures of the benchmark `harness`, which shows all programs side by side, as lines.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use bench::{
    Row, Section, Spread,
    row::{Goal, Peer},
};
use serde::Deserialize;

/// What `harness --json` writes.
#[derive(Deserialize)]
struct Figures {
    rounds: u32,
    parts: Vec<Part>,
}

/// What was measured of one event.
#[derive(Deserialize)]
struct Part {
    title: String,
    /// Figures by name, by program.
    programs: BTreeMap<String, BTreeMap<String, Spread>>,
}

const OURS: &str = "ours";

/// Reads the file and makes a line of each figure of ours.
pub(crate) fn read(path: &Path) -> Result<Vec<Section>> {
    let json =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let figures: Figures = serde_json::from_str(&json)
        .with_context(|| format!("{} holds no figures of the harness", path.display()))?;
    let method = format!(
        "{} rounds of four workers each; ours is `common`'s example `hello`, the peer Flask under gunicorn.",
        figures.rounds
    );
    let command = format!(
        "cargo run --release -p bench --bin harness -- --rounds {}",
        figures.rounds
    );
    let mut section = Section::new("Harness", &method, &command);
    for part in figures.parts {
        rows(&part, &mut section.rows);
    }
    Ok(vec![section])
}

fn rows(part: &Part, rows: &mut Vec<Row>) {
    let Some(ours) = part.programs.get(OURS) else {
        return;
    };
    for (name, &figure) in ours {
        let (what, unit) = match name.rsplit_once(", ") {
            Some((what, unit)) => (what, unit),
            None => (name.as_str(), ""),
        };
        let mut row = Row::new(format!("{}: {}", part.title, what.trim()), unit, &[]);
        if name.contains("throughput, ratio") || name == "requests/s" {
            row = row.higher_is_better();
        }
        row.ours = figure;
        let peer = part.programs.iter().find(|(program, _)| *program != OURS);
        row.peer = peer.and_then(|(program, figures)| {
            let theirs = *figures.get(name)?;
            let ratio = figure.median / theirs.median;
            let ratio: Spread = [ratio].into_iter().collect();
            Some(Peer {
                name: program.clone(),
                figure: theirs,
                ratio: ratio.is_finite().then_some(ratio),
            })
        });
        row.goal = goal(&part.title, name);
        rows.push(row);
    }
}

/// What the harness was to reach.
fn goal(title: &str, name: &str) -> Option<Goal> {
    let is_kill = title.starts_with("kill -9");
    let is_balance = title.starts_with("balance");
    Some(match name {
        // What a killed process had accepted is lost, whoever supervises it.
        "lost" if !is_kill => Goal::AtMost(0.0),
        "p99.9, ms" => Goal::AtMost(100.0),
        "its first answer after, ms" => Goal::AtMost(20.0),
        "orphans after 500 ms" | "users who got none within 8 s" => Goal::AtMost(0.0),
        "throughput back to 70 % after, ms" => Goal::AtMost(2000.0),
        "other workers that are there" => Goal::AtLeast(3.0),
        _ if is_balance && name.ends_with("ratio") && title.contains("keep-alive") => {
            Goal::AtMost(2.5)
        }
        _ if is_balance && name.ends_with("ratio") => Goal::AtMost(1.1),
        _ => return None,
    })
}
