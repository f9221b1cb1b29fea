//! Every request is counted once.

use anyhow::Result;
use e2e::{Load, SOON, poll};

use super::{
    BUCKET, COUNT, ERRORS, HTTP_REQUESTS, REQUESTS, Scrape, pull, pull_with_metrics_port, settled,
};

#[test]
fn every_request_is_counted_once_whatever_the_threads_and_connections() -> Result<()> {
    for (threads, keep_alive) in [(1, true), (1, false), (4, true), (4, false)] {
        for program in [pull(), pull_with_metrics_port()] {
            let running = program.option("--threads", threads).start()?;
            let load = Load::on(running.addr()?).clients(16).keep_alive(keep_alive);
            let report = load.requests(1000).run()?;
            assert_eq!(report.statuses.get(&200), Some(&1000), "{report}");
            // This one is counted before the answer, so there is nothing to wait for.
            assert_eq!(Scrape::of(&running)?.sum(REQUESTS, &[]), 1000.0);
            let scrape = settled(&running, 1000.0)?;
            assert_eq!(scrape.sum(HTTP_REQUESTS, &[]), 1000.0);
            assert_eq!(scrape.sum(BUCKET, &[("le", "+Inf")]), 1000.0);
            assert_eq!(scrape.sum(ERRORS, &[]), 0.0);
        }
    }
    Ok(())
}

#[test]
fn internal_errors_are_counted_and_logged_and_not_shown() -> Result<()> {
    let running = pull().env("ERROR_RATE", "1").start()?;
    let report = Load::on(running.addr()?).clients(4).requests(50).run()?;
    assert_eq!(report.statuses.get(&200), Some(&50), "{report}");
    let scrape = settled(&running, 50.0)?;
    assert_eq!(scrape.sum(ERRORS, &[]), 50.0);
    assert_eq!(
        scrape.sum(COUNT, &[("http_response_status_code", "200")]),
        50.0
    );
    let logged = |line: &str| line.contains("ERROR") && line.contains("random error");
    poll("50 lines", SOON, || {
        (running.console().count(logged) == 50).then_some(())
    })
}

#[test]
fn scrapes_under_load_see_totals_that_only_grow() -> Result<()> {
    let running = pull().option("--threads", 2).start()?;
    let traffic = Load::on(running.addr()?)
        .clients(8)
        .requests(5000)
        .start()?;
    let mut totals = vec![0.0];
    poll("5000 requests", SOON, || {
        let scrape = Scrape::of(&running).ok()?;
        totals.push(scrape.sum(REQUESTS, &[]));
        (totals.last() == Some(&5000.0)).then_some(())
    })?;
    assert!(totals.is_sorted(), "{totals:?}");
    let report = traffic.finish()?;
    assert_eq!(report.answered, 5000, "{report}");
    settled(&running, 5000.0)?;
    Ok(())
}
