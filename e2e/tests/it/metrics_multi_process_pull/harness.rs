//! Harness metrics are exact after reload, scaling and killed workers.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use e2e::{Load, Running, SOON, Signal, poll, process};

use super::{metrics_addr, pull, scrape::Scrape};
use crate::support::stop;

/// Scrapes the metrics port, so that scrapes are not counted, and checks that no harness counter falls.
struct Watch<'a> {
    running: &'a Running,
    last: BTreeMap<String, f64>,
}

impl Watch<'_> {
    fn scrape(&mut self) -> Result<Scrape> {
        let scrape = Scrape::of(metrics_addr(self.running)?)?;
        for (series, before) in &self.last {
            let now = scrape.samples.get(series);
            let now = now.with_context(|| format!("{series} is gone from {}", scrape.text))?;
            assert!(now >= before, "{series} fell from {before} to {now}");
        }
        let counters = scrape.samples.iter();
        let counters = counters.filter(|(series, _)| {
            let name = series.split('{').next().unwrap_or_default();
            name.ends_with("_total") && !name.starts_with("multiprocess_")
        });
        self.last = counters
            .map(|(series, value)| (series.clone(), *value))
            .collect();
        Ok(scrape)
    }

    /// Waits until the series with these labels add up to these numbers.
    fn wait(&mut self, wanted: &[(&str, &str, f64)]) -> Result<()> {
        let mut text = String::new();
        poll(&format!("{wanted:?}"), SOON, || {
            let scrape = self.scrape().ok()?;
            text.clone_from(&scrape.text);
            let right = |(metric, label, value): &(&str, &str, f64)| {
                scrape.sum_with(metric, label) == *value
            };
            wanted.iter().all(right).then_some(())
        })
        .with_context(|| text)
    }
}

#[test]
fn the_harness_counts_exactly_over_reload_scaling_and_death() -> Result<()> {
    let running = pull().env("METRICS_PORT", "0").start()?;
    let load = |requests| -> Result<()> {
        let load = Load::on(running.addr()?).clients(8).requests(requests);
        let report = load.run()?;
        assert_eq!(report.answered, requests, "{report}");
        Ok(())
    };
    let mut watch = Watch {
        running: &running,
        last: BTreeMap::new(),
    };
    load(500)?;
    watch.wait(&[
        ("worker_requests_total", "", 500.0),
        ("worker_connections", "", 0.0),
        ("worker_spawns_total", "reason=\"boot\"", 2.0),
        ("worker_spawns_total", "", 2.0),
        ("worker_exits_total", "", 0.0),
        ("worker_up", "", 2.0),
        ("worker_processes", "state=\"serving\"", 2.0),
        ("worker_accept_queue", "", 0.0),
    ])?;

    running.signal(Signal::SIGHUP)?;
    watch.wait(&[
        ("worker_spawns_total", "reason=\"reload\"", 2.0),
        ("worker_exits_total", "kind=\"clean\"", 2.0),
        ("worker_reloads_total", "result=\"success\"", 1.0),
        ("worker_processes", "", 2.0),
        ("worker_up", "", 2.0),
    ])?;
    load(500)?;
    watch.wait(&[("worker_requests_total", "", 1000.0)])?;

    running.signal(Signal::SIGTTIN)?;
    watch.wait(&[
        ("worker_spawns_total", "reason=\"scale\"", 1.0),
        ("worker_up", "", 3.0),
    ])?;
    load(500)?;
    running.signal(Signal::SIGTTOU)?;
    watch.wait(&[
        ("worker_exits_total", "kind=\"clean\"", 3.0),
        ("worker_up", "", 2.0),
        ("worker_up", "slot=\"2\"", 0.0),
        ("worker_requests_total", "", 1500.0),
    ])?;

    let victim = running.workers()[0];
    process::send(victim, Signal::SIGKILL)?;
    watch.wait(&[
        ("worker_exits_total", "kind=\"signal\"", 1.0),
        ("worker_spawns_total", "reason=\"crash\"", 1.0),
        ("worker_up", "", 2.0),
    ])?;
    load(500)?;
    watch.wait(&[
        ("worker_requests_total", "", 2000.0),
        ("worker_spawns_total", "", 6.0),
        ("worker_exits_total", "", 4.0),
        ("worker_cut_connections_total", "", 0.0),
    ])?;
    let last = watch.scrape()?;
    assert!(last.sum("worker_boot_duration_seconds") > 0.0);
    assert_eq!(last.series("worker_heartbeat_age_seconds").count(), 2);
    // The master, and slots that have a process.
    assert_eq!(last.series("process_open_fds").count(), 3);
    assert_eq!(last.series("process_start_time_seconds").count(), 3);
    assert_eq!(
        last.sum_with("process_resident_memory_bytes", "slot=\"2\""),
        0.0
    );
    stop(running)
}

#[test]
fn a_gauge_of_a_worker_can_be_joined_with_its_slot_and_its_process() -> Result<()> {
    let running = pull().option("--workers", 2).start()?;
    let scrape = Scrape::of(running.addr()?)?;
    let workers: Vec<_> = scrape.series("worker_info").collect();
    assert_eq!(workers.len(), 2, "{}", scrape.text);
    for pid in running.workers() {
        let process = format!("process_pid=\"{pid}\"");
        let of_it = workers
            .iter()
            .filter(|(labels, _)| labels.contains(&process));
        assert_eq!(of_it.count(), 1, "{}", scrape.text);
    }
    for label in [
        "pid=\"worker-0\"",
        "pid=\"worker-1\"",
        "slot=\"0\"",
        "slot=\"1\"",
    ] {
        assert_eq!(
            scrape.sum_with("worker_info", label),
            1.0,
            "{}",
            scrape.text
        );
    }
    stop(running)
}

#[test]
fn cpu_time_of_a_slot_never_falls_while_its_processes_end() -> Result<()> {
    let running = pull()
        .env("METRICS_PORT", "0")
        .option("--workers", 1)
        .start()?;
    let mut watch = Watch {
        running: &running,
        last: BTreeMap::new(),
    };
    for deaths in 1..=5_u32 {
        Load::on(running.addr()?).clients(4).requests(200).run()?;
        process::send(running.workers()[0], Signal::SIGKILL)?;
        // It compares each of many scrapes with the one before.
        watch.wait(&[
            ("worker_exits_total", "kind=\"signal\"", deaths.into()),
            ("worker_up", "", 1.0),
        ])?;
    }
    let last = watch.scrape()?;
    assert!(
        last.sum_with("process_cpu_seconds_total", "slot=\"0\"") > 0.0,
        "{}",
        last.text
    );
    stop(running)
}
