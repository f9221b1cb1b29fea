//! A worker process that does to its store what stdin says, one command a line, and answers each
//! with `ok`, `error: …` or what was asked for. The tests drive it; it is also good for trying
//! things out:
//!
//!     cargo run -p prometheus-multiprocess --example store_worker -- DIR
//!
//! | command | |
//! |---|---|
//! | `identifier` | the identifier of the process |
//! | `counter NAME AMOUNT` | adds to a counter |
//! | `series NAME VALUE` | adds one to the counter with the label `value` |
//! | `gauge NAME MODE VALUE` | sets a gauge |
//! | `observe NAME VALUE` | observes in a histogram with the bound 1 |
//! | `exemplar NAME AMOUNT BYTE` | adds to a counter, in the trace with these bytes |
//! | `observe_exemplar NAME VALUE BYTE` | observes in a histogram with the bound 1, in that trace |
//! | `load NAME THREADS TIMES` | threads add one to a counter, and create series, that many times |
//! | `forever NAME` | adds one to a counter again and again, and says how often it did |
//! | `open DIR` | opens another directory and uses it until the end |
//! | `scrape SAMPLE` | the value of a sample in a scrape |
//! | `openmetrics` | how many lines of OpenMetrics are start times |
//! | `descriptors N` | limits the descriptors so that N more can be opened |
//! | `starts THREADS TIMES` | threads prepare a directory, count in it and remove it, that many times |
//! | `fork NAME` | registers a counter and adds one to `forked_total` in a forked child |

use std::{
    error::Error,
    fs,
    io::{BufRead, Write},
    sync::OnceLock,
};

use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        wait::waitpid,
    },
    unistd::{ForkResult, fork},
};
use prometheus::{HistogramOpts, Opts};
use prometheus_exposition::Format;
use prometheus_multiprocess::{
    Directory, GaugeMode, GaugeOpts, MultiProcessCollector, SpanIds, Store,
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: store_worker DIR")?;
    let store = Store::open(directory)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match run(&store, &line.split(' ').collect::<Vec<_>>()) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("error: {error}"),
        }
    }
    Ok(())
}

fn run(store: &Store, command: &[&str]) -> Result<String, Box<dyn Error>> {
    match *command {
        ["identifier"] => return Ok(store.identifier().unwrap_or_default()),
        ["counter", name, amount] => store.counter(opts(name))?.inc_by(amount.parse()?),
        ["series", name, value] => {
            let counters = store.counter_vec(opts(name), &["value"])?;
            counters.get_metric_with_label_values(&[value])?.inc();
        }
        ["gauge", name, mode, value] => {
            let mode = GaugeMode::from_name(mode).ok_or("no such mode")?;
            store
                .gauge(GaugeOpts::from(opts(name)).mode(mode))?
                .set(value.parse()?);
        }
        ["observe", name, value] => {
            let opts = HistogramOpts::new(name, "A histogram").buckets(vec![1.0]);
            store.histogram(opts)?.observe(value.parse()?);
        }
        ["exemplar", name, amount, byte] => {
            let counter = store.counter(opts(name))?;
            counter.inc_by_with_exemplar(amount.parse()?, span(byte)?);
        }
        ["observe_exemplar", name, value, byte] => {
            let opts = HistogramOpts::new(name, "A histogram").buckets(vec![1.0]);
            let histogram = store.histogram(opts)?;
            histogram.observe_with_exemplar(value.parse()?, span(byte)?);
        }
        ["load", name, threads, times] => load(store, name, threads.parse()?, times.parse()?)?,
        ["forever", name] => forever(store, name)?,
        ["open", directory] => std::mem::forget(Store::open(directory)?),
        ["scrape", ref sample @ ..] => return scraped(store, &sample.join(" ")),
        ["openmetrics"] => {
            let format = Format::negotiate("application/openmetrics-text");
            let mut text = String::new();
            store.collector()?.encode_for(format, &mut text)?;
            return Ok(text.matches("_created").count().to_string());
        }
        ["descriptors", more] => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            let is_free = |fd: &u64| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err();
            let limit = (0..hard).filter(is_free).nth(more.parse()?);
            setrlimit(Resource::RLIMIT_NOFILE, limit.unwrap_or(hard), hard)?;
        }
        ["starts", threads, times] => starts(threads.parse()?, times.parse()?)?,
        ["fork", name] => return forked(store, name),
        _ => return Err("no such command".into()),
    }
    Ok("ok".to_owned())
}

fn opts(name: &str) -> Opts {
    Opts::new(name, "A metric")
}

fn span(byte: &str) -> Result<SpanIds, Box<dyn Error>> {
    let byte = byte.parse()?;
    Ok(SpanIds {
        trace_id: [byte; 16],
        span_id: [byte; 8],
    })
}

fn load(store: &Store, name: &str, threads: usize, times: usize) -> Result<(), prometheus::Error> {
    let counter = store.counter(opts(name))?;
    let series = store.counter_vec(opts(&format!("{name}_by_value")), &["value"])?;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for index in 0..times {
                    counter.inc();
                    series.with_label_values(&[(index % 100).to_string()]).inc();
                }
            });
        }
    });
    Ok(())
}

fn forever(store: &Store, name: &str) -> Result<(), Box<dyn Error>> {
    let counter = store.counter(opts(name))?;
    let mut out = std::io::stdout().lock();
    for times in 1_u64.. {
        counter.inc();
        writeln!(out, "{times}")?;
    }
    Ok(())
}

fn scraped(store: &Store, sample: &str) -> Result<String, Box<dyn Error>> {
    static COLLECTOR: OnceLock<MultiProcessCollector> = OnceLock::new();
    let new = store.collector()?;
    let mut text = String::new();
    COLLECTOR.get_or_init(|| new).encode_text(&mut text)?;
    let found = text.lines().filter_map(|line| line.rsplit_once(' '));
    let value = found.into_iter().find(|(name, _)| *name == sample);
    let (_, value) =
        value.ok_or_else(|| format!("no such sample in:{}", text.replace('\n', "|")))?;
    Ok(value.parse::<f64>()?.to_string())
}

fn starts(threads: usize, times: usize) -> Result<(), Box<dyn Error>> {
    let start = || -> Result<(), Box<dyn Error>> {
        let directory = Directory::prepare(None)?;
        let store = Store::open(directory.path())?;
        store.counter(opts("starts"))?.inc();
        let mut text = String::new();
        store.collector()?.encode_text(&mut text)?;
        if !text.contains("\nstarts_total 1.0\n") {
            return Err(text.replace('\n', "|").into());
        }
        Ok(())
    };
    let run = || (0..times).try_for_each(|_| start().map_err(|error| error.to_string()));
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

fn forked(store: &Store, name: &str) -> Result<String, Box<dyn Error>> {
    let inherited = store.counter(opts("forked"))?;
    // SAFETY: the other thread of this process holds no lock that the child takes: it only looks at
    // files now and then.
    match unsafe { fork() }? {
        ForkResult::Child => {
            inherited.inc();
            let answer = store.counter(opts(name)).map(|_| "registered".to_owned());
            println!("{}", answer.unwrap_or_else(|error| error.to_string()));
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            waitpid(child, None)?;
            Ok("ok".to_owned())
        }
    }
}
