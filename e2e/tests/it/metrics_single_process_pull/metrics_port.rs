//! `METRICS_PORT` replaces `/metrics` on the application's port, and answers while the application is blocked.

use anyhow::{Context, Result};
use e2e::{Load, Program, Running, SOON, Signal, http, process};

use super::{REQUESTS, Scrape, metrics_addr, pull, pull_with_metrics_port};

#[test]
fn metrics_are_on_one_port_and_never_on_both() -> Result<()> {
    let one = pull().start()?;
    assert_eq!(metrics_addr(&one)?, one.addr()?);
    assert_eq!(http::get(one.addr()?, "/metrics")?.status, 200);

    let two = pull_with_metrics_port().start()?;
    let (app, metrics) = (two.addr()?, metrics_addr(&two)?);
    assert_ne!(app, metrics);
    let status = |addr, path| http::get(addr, path).map(|response| response.status);
    assert_eq!((status(app, "/")?, status(app, "/healthz")?), (200, 200));
    assert_eq!(
        (status(app, "/metrics")?, status(metrics, "/metrics")?),
        (404, 200)
    );
    assert_eq!(
        (status(metrics, "/")?, status(metrics, "/healthz")?),
        (404, 404)
    );
    Ok(())
}

#[test]
fn the_metrics_port_listens_where_the_application_does() -> Result<()> {
    for host in ["127.0.0.1", "::1", "[::1]", "localhost"] {
        let running = pull_with_metrics_port().option("--host", host).start()?;
        let metrics = metrics_addr(&running)?;
        assert!(metrics.ip().is_loopback(), "{metrics}");
        assert_eq!(http::get(metrics, "/metrics")?.status, 200);
    }
    let running = pull_with_metrics_port()
        .env("BIND_HOST", "0.0.0.0")
        .start()?;
    assert!(metrics_addr(&running)?.ip().is_unspecified());
    Ok(())
}

/// The program with a console that is not read after the ready line, like a terminal stopped with Ctrl-S.
fn with_a_stuck_console() -> Program {
    let script = r#"exec "$0" "$@" 2> >(IFS= read -r line; echo "$line"; exec sleep 1000000)"#;
    // The line that the script reads is the one that says where it listens.
    pull_with_metrics_port()
        .arg("--no-view")
        .under(&["bash", "-c", script])
        .env("ERROR_RATE", "1")
}

/// Closes the reading end of the console, so that writes fail at once.
fn let_go(running: &Running) -> Result<()> {
    let processes = running.processes();
    let sleep = processes.iter().find(|stat| stat.name == "sleep");
    process::send(
        sleep.context("nobody holds the console")?.pid,
        Signal::SIGKILL,
    )
}

#[test]
fn an_unread_console_loses_lines_but_delays_no_request_and_no_stop() -> Result<()> {
    // Each request logs a line: more than the pipe and the queue behind it hold.
    const SENT: u64 = 20_000;
    for threads in [1, 3] {
        let mut running = with_a_stuck_console()
            .option("--threads", threads)
            .start()?;
        let load = Load::on(running.addr()?).clients(16).requests(SENT);
        let report = load.run()?;
        assert_eq!(report.statuses.get(&200), Some(&SENT), "{report}");
        assert_eq!(Scrape::of(&running)?.sum(REQUESTS, &[]), SENT as f64);
        running.signal(Signal::SIGTERM)?;
        assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
        let_go(&running)?;
        running.wait_gone(SOON)?;
    }
    Ok(())
}

#[test]
fn a_scraper_that_never_finishes_does_not_delay_a_stop() -> Result<()> {
    let mut running = pull_with_metrics_port().start()?;
    let mut silent = http::Connection::open(metrics_addr(&running)?)?;
    silent.send("GET /metrics HTTP/1.1\r\n")?;
    assert_eq!(Scrape::of(&running)?.sum(REQUESTS, &[]), 0.0);
    running.signal(Signal::SIGTERM)?;
    assert_eq!(running.wait_exit(SOON)?.code(), Some(0));
    running.wait_gone(SOON)
}
