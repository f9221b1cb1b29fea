//! Measures the duration of a scrape.

use std::path::Path;

use anyhow::Result;
use bench::{Goal, Row, Section};
use common::multiprocess::MultiProcessCollector;
use e2e::Temporary;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::{
    COMMAND,
    directories::{self, Shape},
    peer::Python,
    rounds::{Rounds, timed},
};

const PYTHON: &str = "Python";

pub(crate) fn measure(
    root: &Temporary,
    python: Option<&mut Python>,
    rounds: Rounds,
) -> Result<Section> {
    let mut bench = Scrapes {
        section: Section::new(
            "Store: scrapes",
            "Workers x series of each, two labels. A warm scrape uses a collector that has scraped before, as in a service; a first scrape uses a new collector, as in a new process. Python has no such difference. `prometheus` gathers and encodes the metrics of a single process.",
            COMMAND,
        ),
        root,
        python,
        rounds,
    };
    for workers in [1, 8, 32] {
        for series in [100, 1_000, 10_000] {
            bench.counters(Shape { workers, series })?;
        }
    }
    for series in [100, 1_000] {
        bench.histograms(Shape { workers: 8, series })?;
    }
    bench.files_of_python()?;
    bench.deaths()?;
    Ok(bench.section)
}

struct Scrapes<'a> {
    section: Section,
    root: &'a Temporary,
    python: Option<&'a mut Python>,
    rounds: Rounds,
}

impl Scrapes<'_> {
    fn counters(&mut self, shape: Shape) -> Result<()> {
        let directory = directories::counters(self.root, shape)?;
        let goal = match (shape.workers, shape.series) {
            (8, 10_000) => Some(1.0 / 200.0),
            (32, 10_000) => Some(1.0 / 180.0),
            _ => None,
        };
        self.with_python(&format!("{shape} counters"), &directory, goal)?;
        if shape.workers == 8 {
            let registry = directories::counters_in_memory(shape.series)?;
            let is_large = shape.series == 10_000;
            self.with_prometheus(
                &format!("{shape} counters"),
                &directory,
                &registry,
                is_large,
            )?;
        }
        Ok(())
    }

    fn histograms(&mut self, shape: Shape) -> Result<()> {
        let directory = directories::histograms(self.root, shape)?;
        let name = format!("{shape} histograms of 11 bounds");
        let goal = (shape.series == 1_000).then_some(1.0 / 200.0);
        self.with_python(&name, &directory, goal)?;
        let registry = directories::histograms_in_memory(shape.series)?;
        self.with_prometheus(&name, &directory, &registry, false)
    }

    /// Compares warm and first scrapes with Python's, which are all first scrapes.
    fn with_python(&mut self, name: &str, directory: &Path, goal: Option<f64>) -> Result<()> {
        let Some(python) = &mut self.python else {
            return Ok(());
        };
        let collector = MultiProcessCollector::new(directory)?;
        let row = self.rounds.compare(
            &format!("{name}, warm"),
            "ms",
            || warm(&collector),
            PYTHON,
            || python.scrape(directory),
        )?;
        self.section.rows.push(with_goal(row, goal));
        let row = self.rounds.compare(
            &format!("{name}, first"),
            "ms",
            || first(directory),
            PYTHON,
            || python.scrape(directory),
        )?;
        self.section.rows.push(row);
        Ok(())
    }

    fn with_prometheus(
        &mut self,
        name: &str,
        directory: &Path,
        registry: &Registry,
        has_goals: bool,
    ) -> Result<()> {
        let in_memory = || timed(|| in_memory(registry));
        let collector = MultiProcessCollector::new(directory)?;
        let peer = "prometheus, 1 process";
        let row = self.rounds.compare(
            &format!("{name}, warm"),
            "ms",
            || warm(&collector),
            peer,
            in_memory,
        )?;
        self.section
            .rows
            .push(with_goal(row, has_goals.then_some(0.2)));
        let row = self.rounds.compare(
            &format!("{name}, first"),
            "ms",
            || first(directory),
            peer,
            in_memory,
        )?;
        self.section
            .rows
            .push(with_goal(row, has_goals.then_some(1.0)));
        Ok(())
    }

    fn files_of_python(&mut self) -> Result<()> {
        if self.python.is_none() {
            return Ok(());
        }
        let shape = Shape {
            workers: 8,
            series: 10_000,
        };
        let directory = directories::counters_of_python(self.root, shape)?;
        self.with_python(
            &format!("{shape} counters that Python wrote"),
            &directory,
            Some(1.0 / 100.0),
        )
    }

    /// Workers that exit one after the other reuse the files of the first ones.
    fn deaths(&mut self) -> Result<()> {
        let shape = Shape {
            workers: 8,
            series: 100,
        };
        let before = directories::counters(self.root, shape)?;
        let after = self.root.directory("deaths")?;
        for _ in 0..125 {
            directories::fill_counters(&after, shape)?;
        }
        let [(files, bytes), (files_before, bytes_before)] =
            [directories::size(&after)?, directories::size(&before)?];
        let whole = |what: &str, unit: &str, after: u64, before: u64| {
            let name = format!("{shape} counters after 1,000 deaths, {what}");
            Row::against(name, unit, &[after as f64], "before them", &[before as f64])
                .goal(Goal::RatioAtMost(1.0))
        };
        let rows = [
            whole("files", "files", files, files_before),
            whole("bytes", "bytes", bytes, bytes_before),
        ];
        self.section.rows.extend(rows);
        let name = format!("{shape} counters after 1,000 deaths, warm");
        let (fresh, collector) = (
            MultiProcessCollector::new(&before)?,
            MultiProcessCollector::new(&after)?,
        );
        let row = self.rounds.compare(
            &name,
            "ms",
            || warm(&collector),
            "before them",
            || warm(&fresh),
        )?;
        // The files are the same, so a ratio above 1 is noise.
        self.section.rows.push(row.goal(Goal::RatioAtMost(1.1)));
        if let Some(python) = &mut self.python {
            let dead = Shape {
                workers: 1_000,
                series: 100,
            };
            let theirs = directories::counters_of_python(self.root, dead)?;
            let row = self.rounds.compare(
                &name,
                "ms",
                || warm(&collector),
                PYTHON,
                || python.scrape(&theirs),
            )?;
            self.section.rows.push(row);
        }
        Ok(())
    }
}

fn with_goal(row: Row, ratio: Option<f64>) -> Row {
    match ratio {
        Some(ratio) => row.goal(Goal::RatioAtMost(ratio)),
        None => row,
    }
}

/// A scrape with `prometheus`: it gathers everything and then encodes it.
pub(crate) fn in_memory(registry: &Registry) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out)?;
    Ok(out)
}

/// Mean duration of several scrapes in milliseconds, so that earlier work does not matter.
pub(crate) fn warm(collector: &MultiProcessCollector) -> Result<f64> {
    const TIMES: u32 = 10;
    let mut text = String::new();
    let all = timed(|| {
        (0..TIMES).try_for_each(|_| {
            text.clear();
            collector.encode_text(&mut text)
        })
    })?;
    Ok(all / f64::from(TIMES))
}

/// Duration of the first scrape of a collector, in milliseconds.
pub(crate) fn first(directory: &Path) -> Result<f64> {
    let collector = MultiProcessCollector::new(directory)?;
    timed(|| collector.encode_text(&mut String::new()))
}
