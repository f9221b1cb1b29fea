//! A stop loses no request, and a scrape in progress gets the last totals.

use anyhow::Result;
use e2e::{Load, SOON, Signal, http::Connection};

use super::{pull, pull_with_metrics_port};

#[test]
fn term_under_load_loses_nothing() -> Result<()> {
    for (threads, keep_alive) in [(1, true), (1, false), (2, true), (2, false)] {
        for program in [pull(), pull_with_metrics_port()] {
            let mut running = program.option("--threads", threads).start()?;
            let traffic = Load::on(running.addr()?)
                .clients(64)
                .keep_alive(keep_alive)
                .start()?;
            traffic.wait_for_answers(1000, SOON)?;
            running.signal(Signal::SIGTERM)?;
            assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
            traffic.wait_for_refusals(64, SOON)?;
            let report = traffic.stop()?;
            assert_eq!(report.lost(), 0, "{report}\n{}", running.console());
            running.wait_gone(SOON)?;
        }
    }
    Ok(())
}

#[test]
fn a_scrape_in_progress_at_a_stop_has_every_request() -> Result<()> {
    let mut running = pull().start()?;
    let mut scraper = Connection::open(running.addr()?)?;
    scraper.send_get("/healthz")?;
    scraper.receive()?;
    let report = Load::on(running.addr()?).clients(8).requests(500).run()?;
    assert_eq!(report.answered, 500, "{report}");
    running.signal(Signal::SIGTERM)?;
    scraper.send_get("/metrics")?;
    let response = scraper.receive()?;
    assert!(
        response.body.contains("\nnum_requests_total 500\n"),
        "{response:?}"
    );
    assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
    Ok(())
}

#[test]
fn int_quit_and_a_second_term_stop_at_once() -> Result<()> {
    for signals in [
        &[Signal::SIGINT][..],
        &[Signal::SIGQUIT],
        &[Signal::SIGTERM, Signal::SIGTERM],
    ] {
        let mut running = pull_with_metrics_port()
            .option("--graceful-timeout", 3600)
            .start()?;
        let mut open = Connection::open(running.addr()?)?;
        open.send("GET / HTTP/1.1\r\n")?;
        for signal in signals {
            running.signal(*signal)?;
        }
        assert_eq!(
            running.wait_exit(SOON)?.code(),
            Some(0),
            "{}",
            running.console()
        );
        running.wait_gone(SOON)?;
    }
    Ok(())
}
