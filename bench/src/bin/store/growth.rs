//! Measures how a scrape scales with workers and series.

use std::fs;

use anyhow::Result;
use bench::Section;
use common::multiprocess::MultiProcessCollector;
use e2e::Temporary;

use crate::{
    COMMAND,
    directories::{self, Shape},
    memory,
    rounds::Rounds,
    scrapes::{first, warm},
};

/// Increases the workers at 10,000 series, then the series at the maximum of workers.
pub(crate) fn measure(
    root: &Temporary,
    most_workers: usize,
    most_series: usize,
    rounds: Rounds,
) -> Result<Section> {
    let mut section = Section::new(
        "Store: growth",
        "Workers x series of each, only for our store. Memory is the increase of the peak memory of a new process that scrapes once.",
        COMMAND,
    );
    // A large directory needs few rounds, because its noise is small.
    let seldom = Rounds(rounds.0.div_ceil(3));
    for shape in shapes(most_workers, most_series) {
        let directory = directories::counters(root, shape)?;
        let collector = MultiProcessCollector::new(&directory)?;
        let name = |what: &str| format!("{shape} counters, {what}");
        section.rows.extend([
            seldom.alone(&name("warm"), "ms", || warm(&collector))?,
            seldom.alone(&name("first"), "ms", || first(&directory))?,
            memory::row(&name("memory"), &directory)?,
        ]);
        fs::remove_dir_all(&directory)?;
    }
    Ok(section)
}

fn shapes(most_workers: usize, most_series: usize) -> Vec<Shape> {
    let by_workers = [1, 2, 4, 8, 16, 32, 64]
        .into_iter()
        .filter(|&workers| workers <= most_workers)
        .map(|workers| Shape {
            workers,
            series: most_series.min(10_000),
        });
    let by_series = [100, 1_000, 100_000]
        .into_iter()
        .filter(|&series| series <= most_series)
        .map(|series| Shape {
            workers: most_workers,
            series,
        });
    by_workers.chain(by_series).collect()
}
