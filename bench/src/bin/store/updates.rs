//! Measures the duration of an update.

use std::hint::black_box;

use anyhow::Result;
use bench::{Goal, Row, Section};
use common::multiprocess::{SpanIds, Store};
use e2e::Temporary;
use prometheus::{CounterVec, HistogramOpts, Opts};

use crate::{
    COMMAND,
    directories::{LABELS, METHODS, path_of},
    peer::Python,
    rounds::{Rounds, on_two_threads, per_operation},
};

const PROMETHEUS: &str = "prometheus, in memory";

pub(crate) fn measure(
    root: &Temporary,
    python: Option<&mut Python>,
    rounds: Rounds,
) -> Result<Section> {
    let mut bench = Updates {
        section: Section::new(
            "Store: updates",
            "Time per update, over a million updates. With two threads, each updates the same metric three million times; the result depends on which processors they run on.",
            COMMAND,
        ),
        store: Store::open(root.directory("updates")?)?.with_series_limit(20_000),
        python,
        python_directory: root.directory("updates-of-python")?,
        rounds,
    };
    bench.counter()?;
    bench.gauge()?;
    bench.histogram()?;
    bench.exemplars()?;
    bench.lookup()?;
    bench.lookup_of_many()?;
    Ok(bench.section)
}

struct Updates<'a> {
    section: Section,
    store: Store,
    python: Option<&'a mut Python>,
    python_directory: std::path::PathBuf,
    rounds: Rounds,
}

impl Updates<'_> {
    fn counter(&mut self) -> Result<()> {
        let ours = self.store.counter(Opts::new("counter", "A counter"))?;
        let theirs = prometheus::Counter::new("counter", "A counter")?;
        self.operation("counter.inc", 1.1, || ours.inc(), || theirs.inc())
    }

    fn gauge(&mut self) -> Result<()> {
        let ours = self.store.gauge(Opts::new("gauge", "A gauge"))?;
        let theirs = prometheus::Gauge::new("gauge", "A gauge")?;
        let ours = || ours.set(black_box(2.0));
        self.operation("gauge.set", 2.0, ours, || theirs.set(black_box(2.0)))
    }

    fn histogram(&mut self) -> Result<()> {
        let opts = HistogramOpts::new("histogram", "A histogram");
        let ours = self.store.histogram(opts.clone())?;
        let theirs = prometheus::Histogram::with_opts(opts)?;
        let (observe_ours, observe_theirs) = (
            || ours.observe(black_box(0.2)),
            || theirs.observe(black_box(0.2)),
        );
        self.operation("histogram.observe", 1.1, observe_ours, observe_theirs)
    }

    /// Measures the updates of a request whose trace is sampled.
    fn exemplars(&mut self) -> Result<()> {
        let span = SpanIds {
            trace_id: [1; 16],
            span_id: [2; 8],
        };
        let counter = self.store.counter(Opts::new("traced", "A counter"))?;
        let opts = HistogramOpts::new("traced_time", "A histogram");
        let histogram = self.store.histogram(opts)?;
        let inc = || counter.inc_by_with_exemplar(1.0, black_box(span));
        let observe = || histogram.observe_with_exemplar(black_box(0.2), black_box(span));
        let updates: [(&str, &dyn Fn()); 2] = [
            ("counter.inc_by_with_exemplar", &inc),
            ("histogram.observe_with_exemplar", &observe),
        ];
        for (name, update) in updates {
            let row = self
                .rounds
                .alone(name, "ns", || Ok(per_operation(update)))?;
            self.push(row);
        }
        Ok(())
    }

    fn lookup(&mut self) -> Result<()> {
        let opts = Opts::new("lookups", "Lookups");
        let ours = self.store.counter_vec(opts.clone(), &LABELS)?;
        let theirs = CounterVec::new(opts, &LABELS)?;
        let values = [black_box("GET"), black_box("/api/v1/resource/000000")];
        self.operation(
            "with_label_values(2).inc",
            1.0,
            || ours.with_label_values(&values).inc(),
            || theirs.with_label_values(&values).inc(),
        )
    }

    /// Measures updates of more series than fit into the L1 cache.
    fn lookup_of_many(&mut self) -> Result<()> {
        for count in [100, 1_000, 10_000] {
            let opts = Opts::new(format!("lookups_of_{count}"), "Lookups");
            let ours = self.store.counter_vec(opts.clone(), &LABELS)?;
            let theirs = CounterVec::new(opts, &LABELS)?;
            let paths: Vec<String> = (0..count).map(path_of).collect();
            let rotate = |look: &dyn Fn(&[&str; 2])| {
                let passes = 200_000 / count;
                let start = std::time::Instant::now();
                for _ in 0..passes {
                    for (index, path) in paths.iter().enumerate() {
                        look(&[METHODS[index % 4], path]);
                    }
                }
                Ok(start.elapsed().as_secs_f64() * 1e9 / (passes * count) as f64)
            };
            let row = self.rounds.compare(
                &format!("with_label_values(2).inc, {count} series in rotation"),
                "ns",
                || rotate(&|values| ours.with_label_values(values).inc()),
                PROMETHEUS,
                || rotate(&|values| theirs.with_label_values(values).inc()),
            )?;
            self.section.rows.push(row.goal(Goal::RatioAtMost(1.0)));
        }
        Ok(())
    }

    /// Compares one operation, by one thread and by two, with `prometheus` and Python.
    fn operation(
        &mut self,
        name: &str,
        goal: f64,
        ours: impl Fn() + Sync,
        theirs: impl Fn() + Sync,
    ) -> Result<()> {
        let row = self.rounds.compare(
            name,
            "ns",
            || Ok(per_operation(&ours)),
            PROMETHEUS,
            || Ok(per_operation(&theirs)),
        )?;
        self.push(row.goal(Goal::RatioAtMost(goal)));
        let row = self.rounds.compare(
            &format!("{name}, two threads"),
            "ns",
            || Ok(on_two_threads(&ours)),
            PROMETHEUS,
            || Ok(on_two_threads(&theirs)),
        )?;
        self.push(row);
        if let Some(python) = &mut self.python {
            let row = self.rounds.compare(
                name,
                "ns",
                || Ok(per_operation(&ours)),
                "Python, multiprocess",
                || python.update(&self.python_directory, name),
            )?;
            self.push(row);
        }
        Ok(())
    }

    fn push(&mut self, row: Row) {
        self.section.rows.push(row);
    }
}
