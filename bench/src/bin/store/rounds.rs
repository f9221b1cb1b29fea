//! How two sides are measured: in turns.

use std::{hint::black_box, sync::Barrier, time::Instant};

use anyhow::Result;
use bench::Row;

/// How often each side has its turn.
#[derive(Clone, Copy)]
pub(crate) struct Rounds(pub(crate) u32);

impl Rounds {
    /// Both sides in turns, after one turn of each that is not counted.
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

    /// Our side alone.
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

/// Milliseconds of some work.
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

/// Nanoseconds of one operation.
pub(crate) fn per_operation(operation: impl Fn()) -> f64 {
    nanoseconds(1_000_000, operation)
}

/// Nanoseconds of one operation on each of two threads that do it at once.
pub(crate) fn on_two_threads(operation: impl Fn() + Sync) -> f64 {
    // A thread takes longer to start than some operations take a million times.
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
