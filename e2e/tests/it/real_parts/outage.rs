//! The Collector is stopped and started again: totals are exact, and nothing is counted twice.

use anyhow::Result;
use e2e::{
    Running, SOON,
    otelcol::{self, Otelcol},
    poll,
};

use super::{DURATIONS, REQUESTS, pushing_to, send, series, wait_for_sum};
use crate::{otlp::PROTOCOLS, support::stop};

const WORKERS: usize = 2;
/// The workers and the master, which pushes harness metrics.
const SENDERS: usize = WORKERS + 1;

fn wait_for_news(running: &Running, words: &str) -> Result<()> {
    poll(words, SOON, || {
        let told = running.console().count(|line| line.contains(words));
        (told >= SENDERS).then_some(())
    })
}

#[test]
fn a_collector_that_was_restarted_has_the_totals_again() -> Result<()> {
    let Some(executable) = otelcol::executable()? else {
        return Ok(());
    };
    for protocol in PROTOCOLS {
        let mut otelcol = Otelcol::new(&executable, "otel-collector.yaml")?;
        let collector = otelcol.start()?;
        let ports = otelcol.ports();
        let running = pushing_to("metrics-push", ports, protocol)
            .option("--workers", WORKERS)
            .start()?;
        send(&running, 300)?;
        wait_for_sum(ports.service, REQUESTS, 300.0)?;
        otelcol::stop(collector)?;
        send(&running, 300)?;
        wait_for_news(&running, "do not arrive")?;

        let _collector = otelcol.start_again()?;
        wait_for_news(&running, "arrive again")?;
        // Each worker's total is what it always was.
        wait_for_sum(ports.workers, REQUESTS, 600.0)?;
        // The sum over workers starts where the Collector started: a rate sees a counter that was reset and grows by what
        // comes, not by what was there before.
        poll("both workers to be known", SOON, || {
            (series(ports.service, REQUESTS).ok()? == [0.0]).then_some(())
        })?;
        send(&running, 300)?;
        stop(running)?;
        wait_for_sum(ports.workers, REQUESTS, 900.0)?;
        wait_for_sum(ports.workers, DURATIONS, 900.0)?;
        wait_for_sum(ports.service, REQUESTS, 300.0)?;
        wait_for_sum(ports.service, DURATIONS, 300.0)?;
    }
    Ok(())
}
