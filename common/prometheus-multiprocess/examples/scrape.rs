//! Prints what `/metrics` would show of a metrics directory, also of one that Python wrote.
//!
//!     cargo run -p prometheus-multiprocess --example scrape -- DIR [--repeat N]
//!
//! With `--repeat N` it scrapes N more times, and says on stderr, in one line of JSON, how long
//! these took.

use std::{error::Error, process::ExitCode, time::Instant};

use prometheus_multiprocess::MultiProcessCollector;

const USAGE: &str = "usage: scrape DIR [--repeat N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (directory, repeat) = match arguments[..] {
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [directory] => (directory, Ok(0)),
        [directory, "--repeat", times] | ["--repeat", times, directory] => {
            (directory, times.parse().map_err(|_| times))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let repeat: usize = match repeat {
        Ok(repeat) => repeat,
        Err(times) => {
            eprintln!("--repeat {times}: not a number of times; {USAGE}");
            return ExitCode::from(2);
        }
    };
    match scrape(directory, repeat) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn scrape(directory: &str, repeat: usize) -> Result<(), Box<dyn Error>> {
    let collector = MultiProcessCollector::new(directory)?;
    let mut text = String::new();
    collector.encode_text(&mut text)?;
    print!("{text}");
    let mut milliseconds = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        text.clear();
        let start = Instant::now();
        collector.encode_text(&mut text)?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    milliseconds.sort_by(f64::total_cmp);
    if let (Some(min), Some(max)) = (milliseconds.first(), milliseconds.last()) {
        eprintln!(
            r#"{{"runs": {repeat}, "scrape_ms": {:.3}, "scrape_ms_min": {min:.3}, "scrape_ms_max": {max:.3}, "output_bytes": {}}}"#,
            milliseconds[repeat / 2],
            text.len()
        );
    }
    Ok(())
}
