//! Measures two sides in turns.

use std::{hint::black_box, sync::Barrier, time::Instant};

use anyhow::Result;
use bench::Row;

/// The number of turns of each side.
#[derive(Clone, Copy)]
pub(crate) struct Rounds(pub(crate) u32);

impl Rounds {
    /// Measures both sides in turns, after a warm-up turn of each.
    pub(crate) fn compare(
        self,
        name: &str,
        unit: &str,
        mut ours: impl FnMut() -> Result<f64>,
        peer: &str,
        mut theirs: impl FnMut() -> Result<f64>,
    ) -> Result<Row> {
        eprintln!("{name}, {peer}");
        ours()?;
        theirs()?;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..self.0 {
            own.push(ours()?);
            other.push(theirs()?);
        }
        Ok(Row::against(name, unit, &own, peer, &other))
    }

    /// Measures only our side.
    pub(crate) fn alone(
        self,
        name: &str,
        unit: &str,
        mut ours: impl FnMut() -> Result<f64>,
    ) -> Result<Row> {
        eprintln!("{name}");
        ours()?;
        let own = (0..self.0).map(|_| ours()).collect::<Result<Vec<f64>>>()?;
        Ok(Row::new(name, unit, &own))
    }
}

/// Duration of the work in milliseconds.
pub(crate) fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<f64>
where
    anyhow::Error: From<E>,
{
    let start = Instant::now();
    let result = black_box(work()?);
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    drop(result);
    Ok(elapsed)
}

/// Duration of one operation in nanoseconds.
pub(crate) fn per_operation(operation: impl Fn()) -> f64 {
    nanoseconds(1_000_000, operation)
}

/// Duration of one operation in nanoseconds, on two threads at once.
pub(crate) fn on_two_threads(operation: impl Fn() + Sync) -> f64 {
    // Starting a thread takes longer than a million of some operations.
    let together = Barrier::new(2);
    let measure = || {
        together.wait();
        nanoseconds(3_000_000, &operation)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(measure);
        let own = measure();
        // A panic in the thread is a bug in this program; it was printed there.
        other.join().map_or(own, |other| own.max(other))
    })
}

fn nanoseconds(times: u32, operation: impl Fn()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        operation();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(times)
}
