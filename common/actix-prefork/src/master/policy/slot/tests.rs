use std::time::Duration;

use super::{help::CONVALESCENCE, *};
use crate::{
    master::{
        policy::{outcome::Outcome, process::Report},
        scoreboard::State,
    },
    stop::Stop,
};

const READY: Report = Report {
    state: State::Ready,
    asked: false,
    silent: Duration::ZERO,
    requests: 0,
    connections: 0,
    debugged: false,
    full: false,
};

fn start(slot: &mut Slot, row: u16, reason: SpawnReason, now: Instant) {
    slot.place(Process::new(0, row, reason, now));
}

fn become_ready(slot: &mut Slot, row: u16, now: Instant) -> bool {
    let mut processes = slot.processes_mut();
    let process = processes.find(|process| process.row == row).unwrap();
    assert!(process.take_up(&READY, now));
    drop(processes);
    slot.ready(row, &mut Turn::at(now))
}

/// A slot whose worker, in row 1, is ready.
fn serving(now: Instant) -> Slot {
    let mut slot = Slot::new(now, SpawnReason::Boot);
    assert_eq!(slot.due(now), Some(SpawnReason::Boot));
    start(&mut slot, 1, SpawnReason::Boot, now);
    assert_eq!(slot.due(now), None);
    assert!(!become_ready(&mut slot, 1, now));
    slot
}

fn stall(slot: &mut Slot, row: u16, now: Instant) {
    let mut processes = slot.processes_mut();
    let process = processes.find(|process| process.row == row).unwrap();
    process.turn(true, now);
}

fn recover(slot: &mut Slot, row: u16, now: Instant) {
    let mut processes = slot.processes_mut();
    let process = processes.find(|process| process.row == row).unwrap();
    process.turn(false, now);
}

fn rows(slot: &Slot) -> (Option<u16>, Option<u16>, Vec<u16>) {
    let row = |process: &Process| process.row;
    let leaving = slot.leaving.iter().map(row).collect();
    (slot.current().map(row), slot.second().map(row), leaving)
}

#[test]
fn a_replacement_takes_over_when_it_is_ready_and_not_before() {
    let now = Instant::now();
    let mut slot = serving(now);
    assert!(slot.may_replace(now));
    start(&mut slot, 2, SpawnReason::Reload, now);
    assert!(!slot.may_replace(now));
    assert_eq!(rows(&slot), (Some(1), Some(2), vec![]));
    assert!(become_ready(&mut slot, 2, now));
    assert_eq!(rows(&slot), (Some(2), None, vec![1]));
    assert_eq!(slot.leaving[0].told, Stop::Worker);
    let ended = slot.ended(1, true, now).unwrap();
    assert_eq!(ended.outcome, Outcome::Gone);
    assert_eq!(rows(&slot), (Some(2), None, vec![]));
    assert_eq!(slot.due(now), None);
}

#[test]
fn a_replacement_that_fails_leaves_the_old_worker_and_the_next_try_waits() {
    let now = Instant::now();
    let mut slot = serving(now);
    for row in 2..5 {
        start(&mut slot, row, SpawnReason::Recycle, now);
        let ended = slot.ended(row, false, now).unwrap();
        assert_eq!(ended.outcome, Outcome::Kept);
    }
    assert_eq!(rows(&slot), (Some(1), None, vec![]));
    assert!(!slot.may_replace(now));
    assert!(slot.next_due().contains(&Some(slot.retry)));
    assert!(slot.may_replace(slot.retry));
}

#[test]
fn a_worker_that_dies_while_its_replacement_boots_is_not_started_twice() {
    let now = Instant::now();
    let mut slot = serving(now);
    start(&mut slot, 2, SpawnReason::Recycle, now);
    let ended = slot.ended(1, false, now).unwrap();
    assert_eq!(ended.outcome, Outcome::TakenOver);
    assert_eq!(rows(&slot), (Some(2), None, vec![]));
    assert_eq!(slot.due(now), None);
    slot.ended(2, false, now).unwrap();
    assert_eq!(rows(&slot), (None, None, vec![]));
    assert!(slot.is_open());
}

#[test]
fn a_helper_serves_beside_a_stalled_worker_and_goes_when_that_has_been_well_for_a_while() {
    let now = Instant::now();
    let mut slot = serving(now);
    assert!(!slot.needs_helper(now));
    stall(&mut slot, 1, now);
    assert!(slot.needs_helper(now) && !slot.serves());
    start(&mut slot, 2, SpawnReason::Hang, now);
    assert!(!slot.needs_helper(now));
    assert!(!become_ready(&mut slot, 2, now));
    assert_eq!(rows(&slot), (Some(1), Some(2), vec![]));
    assert!(slot.serves());
    recover(&mut slot, 1, now);
    assert!(!slot.recover(&mut Turn::at(now)));
    assert!(slot.recover(&mut Turn::at(now + CONVALESCENCE)));
    assert_eq!(rows(&slot), (Some(1), None, vec![2]));
}

#[test]
fn a_helper_takes_the_place_of_a_worker_that_ends() {
    let now = Instant::now();
    let mut slot = serving(now);
    stall(&mut slot, 1, now);
    start(&mut slot, 2, SpawnReason::Hang, now);
    become_ready(&mut slot, 2, now);
    let ended = slot.ended(1, false, now).unwrap();
    assert_eq!(ended.outcome, Outcome::TakenOver);
    assert_eq!(rows(&slot), (Some(2), None, vec![]));
}

#[test]
fn a_slot_that_needs_helpers_often_waits_longer_each_time_until_a_calm_minute() {
    let mut now = Instant::now();
    let mut slot = serving(now);
    let help = |slot: &mut Slot, now: Instant| {
        stall(slot, 1, now);
        let at = now.max(slot.help.next());
        assert!(slot.needs_helper(at));
        start(slot, 2, SpawnReason::Hang, at);
        recover(slot, 1, at);
        assert!(slot.recover(&mut Turn::at(at + CONVALESCENCE)));
        slot.ended(2, true, at + CONVALESCENCE).unwrap();
        (at.duration_since(now).as_secs(), at + CONVALESCENCE)
    };
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let (pause, later) = help(&mut slot, now);
        pauses.push(pause);
        now = later;
    }
    assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    let (pause, later) = help(&mut slot, now + Duration::from_secs(60 + 60 + 1));
    assert_eq!(pause, 0);
    assert_eq!(help(&mut slot, later).0, 1);
}

#[test]
fn a_closed_slot_starts_nothing_until_it_is_opened() {
    let now = Instant::now();
    let mut slot = serving(now);
    start(&mut slot, 2, SpawnReason::Reload, now);
    slot.close();
    assert_eq!(rows(&slot), (None, None, vec![1, 2]));
    slot.ended(2, false, now).unwrap();
    slot.ended(1, true, now).unwrap();
    assert_eq!(slot.due(now), None);
    slot.open(now);
    assert_eq!(slot.due(now), Some(SpawnReason::Scale));
}
