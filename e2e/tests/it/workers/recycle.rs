//! Workers that have reached `--max-requests` are replaced one at a time without losing a request.

use anyhow::Result;
use e2e::{Load, SOON, Signal, poll};

use super::{CLIENTS, hello, is_alarming, wait_for_workers};
use crate::support::assert_all_answered;

#[test]
fn recycling_under_load_from_keep_alive_clients_loses_nothing() -> Result<()> {
    recycling_loses_nothing(true)
}

#[test]
fn recycling_under_load_from_clients_that_close_loses_nothing() -> Result<()> {
    recycling_loses_nothing(false)
}

fn recycling_loses_nothing(keep_alive: bool) -> Result<()> {
    let hello = hello(4)
        .option("--max-requests", 300)
        .option("--max-requests-jitter", 100)
        .start()?;
    let load = Load::on(hello.addr()?).clients(CLIENTS);
    let traffic = load.keep_alive(keep_alive).start()?;
    let recycled = |line: &str| line.contains("reached its request limit");
    poll("twelve workers to be recycled", 2 * SOON, || {
        (hello.console().count(recycled) >= 12).then_some(())
    })?;
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    assert_eq!(report.unclean_closes, 0, "{report}");
    // Four at first, and at least eleven that took over in time to answer something.
    assert!(report.pids.len() >= 12, "{report}");
    assert_eq!(hello.console().count(is_alarming), 0, "{}", hello.console());
    Ok(())
}

#[test]
fn a_stop_during_recycling_loses_nothing() -> Result<()> {
    let mut hello = hello(2).option("--max-requests", 50).start()?;
    let traffic = Load::on(hello.addr()?).clients(CLIENTS).start()?;
    traffic.wait_for_answers(2000, SOON)?;
    hello.signal(Signal::SIGTERM)?;
    assert_eq!(
        hello.wait_exit(2 * SOON)?.code(),
        Some(0),
        "{}",
        hello.console()
    );
    let report = traffic.stop()?;
    assert_eq!(report.lost(), 0, "{report}\n{}", hello.console());
    hello.wait_gone(SOON)
}

#[test]
fn without_a_limit_no_worker_is_recycled() -> Result<()> {
    let hello = hello(2).start()?;
    let mut before = hello.workers();
    Load::on(hello.addr()?).clients(8).requests(2000).run()?;
    let mut after = wait_for_workers(&hello, 2, &[])?;
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
    Ok(())
}
