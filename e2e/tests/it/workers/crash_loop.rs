//! A worker that exits at every boot is restarted after growing pauses, and does not affect other workers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::{Load, Running, SOON, Signal, poll, process};

use super::{Switch, hello, wait_for_new_worker};
use crate::support::assert_all_answered;

#[test]
fn a_slot_that_crashes_at_every_boot_waits_longer_each_time_and_harms_no_other() -> Result<()> {
    let switch = Switch::new("loop")?;
    let hello = hello(2).env("CRASH_AT_BOOT", switch.path()).start()?;
    let old = hello.ready()?.serving();
    switch.set()?;
    process::send(old[0], Signal::SIGKILL)?;
    wait_for_pauses(&hello, 1)?;

    // Clients that close try every slot over and over.
    let load = Load::on(hello.addr()?).clients(16).keep_alive(false);
    let traffic = load.start()?;
    traffic.wait_for_answers(1000, SOON)?;
    let pauses = wait_for_pauses(&hello, 5)?;
    traffic.wait_for_answers(1000, SOON)?;
    assert_paused(&pauses);

    drop(switch);
    let new = wait_for_new_worker(&hello, &old)?;
    traffic.wait_for_answers(1000, SOON)?;
    let report = traffic.stop()?;
    assert_all_answered(&report, &hello);
    assert!(report.pids.contains_key(&old[1]), "{report}");
    assert!(report.pids.contains_key(&new), "{report}");
    Ok(())
}

/// Asserts that each announced pause is longer than the previous one, and that the actual pauses match.
#[track_caller]
fn assert_paused(pauses: &[(Instant, Duration)]) {
    let grows = |pair: &[(Instant, Duration)]| pair[0].1 < pair[1].1;
    assert!(pauses.windows(2).all(grows), "{pauses:?}");
    let (first, last) = (pauses[0].0, pauses[pauses.len() - 1].0);
    let said: Duration = pauses[..pauses.len() - 1]
        .iter()
        .map(|(_, pause)| *pause)
        .sum();
    // Half of it, because a line may be read some time after it was printed.
    assert!(last - first >= said / 2, "{:?}, {pauses:?}", last - first);
}

/// Waits until the master has logged `count` pauses after crashes with code 3. Returns them with the times of the lines.
fn wait_for_pauses(hello: &Running, count: usize) -> Result<Vec<(Instant, Duration)>> {
    poll(
        &format!("{count} pauses after a crash at boot"),
        SOON,
        || {
            let lines = hello.console().lines();
            let crashes = lines
                .iter()
                .filter(|line| line.text.contains("exited with status 3"));
            let pauses: Vec<_> = crashes
                .filter_map(|line| Some((line.at, pause(&line.text)?)))
                .collect();
            (pauses.len() >= count).then_some(pauses)
        },
    )
    .with_context(|| hello.console().to_string())
}

/// The pause in a line of the master: `..., restarting in 1.6s`.
fn pause(line: &str) -> Option<Duration> {
    let (_, pause) = line.split_once("restarting in ")?;
    // The fields of the line follow.
    let pause = pause.split_whitespace().next()?;
    let (number, unit) = match pause.strip_suffix("ms") {
        Some(number) => (number, 1e-3),
        None => (pause.strip_suffix('s')?, 1.0),
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * unit))
}

#[test]
fn a_worker_that_dies_at_the_first_boot_ends_the_program_with_its_own_error() -> Result<()> {
    let switch = Switch::new("first")?;
    switch.set()?;
    let ended = hello(2).env("CRASH_AT_BOOT", switch.path()).run(SOON)?;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let path = switch.path();
    let path = path.to_string_lossy();
    let own = ended.stderr.lines().filter(|line| line.contains(&*path));
    assert_eq!(own.count(), 1, "{}", ended.stderr);
    Ok(())
}
