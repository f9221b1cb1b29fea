//! A worker process whose OpenTelemetry instruments count in the store, and which does what stdin
//! says, one command a line:
//!
//!     cargo run -p prometheus-multiprocess --features opentelemetry --example otel_worker -- DIR
//!
//! | command | |
//! |---|---|
//! | `identifier` | the identifier of the process |
//! | `count THREADS TIMES` | threads add one to the counter `jobs` with three attributes that many times |
//! | `active N` | adds to the up-down counter `active` |
//! | `total N` | sets what the observable counter `seen` observes |

use std::{
    error::Error,
    io::BufRead,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider},
};
use prometheus_multiprocess::{Store, StoreMeterProvider};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: otel_worker DIR")?;
    let store = Store::open(directory)?;
    let provider = StoreMeterProvider::new(&store);
    let meter = provider.meter("otel_worker");
    let seen = Arc::new(AtomicU64::new(0));
    let observed = Arc::clone(&seen);
    let _counter = meter
        .u64_observable_counter("seen")
        .with_callback(move |instrument| instrument.observe(observed.load(Relaxed), &[]))
        .build();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match *line.split(' ').collect::<Vec<_>>() {
            ["identifier"] => {
                println!("{}", store.identifier().unwrap_or_default());
                continue;
            }
            ["count", threads, times] => count(&meter, threads.parse()?, times.parse()?),
            ["active", amount] => {
                let active = meter.i64_up_down_counter("active").build();
                active.add(amount.parse()?, &[]);
            }
            ["total", total] => {
                seen.store(total.parse()?, Relaxed);
                provider.observe();
            }
            _ => return Err("no such command".into()),
        }
        println!("ok");
    }
    Ok(())
}

fn count(meter: &Meter, threads: u64, times: u64) {
    let jobs = meter.u64_counter("jobs").with_unit("{job}").build();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for index in 0..times {
                    let attributes = [
                        KeyValue::new("job.kind", "mail"),
                        KeyValue::new("job.shard", (index % 10) as i64),
                        KeyValue::new("job.last", index + 1 == times),
                    ];
                    jobs.add(1, &attributes);
                }
            });
        }
    });
}
