//! The policy in a simulated world: every order of events that a seed leads to.

mod world;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use self::world::{World, options};
use super::{Action, Queues, SpawnReason, Stage, Turn, slots::Slots};
use crate::stop::Stop;

/// Short enough that every timeout is reached.
const FLAGS: [&str; 10] = [
    "--workers",
    "3",
    "--timeout",
    "10",
    "--hang-timeout",
    "0.2",
    "--boot-timeout",
    "4",
    "--graceful-timeout",
    "3",
];

/// The same with a delay before the stop.
const DELAYED: [&str; 2] = ["--drain-delay", "1"];

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A server that has started.
fn started(queues: Queues, seed: u64) -> World {
    started_with(&FLAGS, queues, seed)
}

fn started_with(flags: &[&str], queues: Queues, seed: u64) -> World {
    let mut world = World::new(options(flags), queues, seed);
    world.run(ms(500));
    assert_eq!(world.policy.stage(), Stage::Serving);
    assert_eq!(world.serving().len(), 3);
    world
}

/// Stops the server, and checks that it ends in time.
fn stop(world: &mut World) {
    let began = world.now;
    world.signal(Signal::SIGTERM);
    // The delay, the graceful timeout, the time to flush, the time to be killed.
    world.run(ms(1_000 + 3_000 + 5_000 + 100));
    let time = world.now - began;
    assert!(world.policy.is_done(), "after {time:?}: {:?}", world.log);
    assert!(world.processes.is_empty());
}

/// Shows the seed of a test that fails.
struct Shown(u64);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Something that may happen at any time.
fn happen(world: &mut World) {
    match world.random.below(18) {
        0 => world.signal(Signal::SIGHUP),
        1 => world.signal(Signal::SIGTTIN),
        2 => world.signal(Signal::SIGTTOU),
        3 => world.signal(Signal::SIGUSR1),
        16 => world.signals(&[Signal::SIGTTIN, Signal::SIGTTOU]),
        17 => world.signals(&[Signal::SIGTTIN, Signal::SIGHUP, Signal::SIGTTIN]),
        4 => world.policy.overslept(ms(300)),
        5 | 6 => world.thaw(),
        7 | 8 => world.any_row().into_iter().for_each(|row| world.kill(row)),
        9 => world
            .any_row()
            .into_iter()
            .for_each(|row| world.terminate(row)),
        10 | 11 => world
            .any_row()
            .into_iter()
            .for_each(|row| world.freeze(row)),
        _ => world.connect(3),
    }
}

#[test]
fn whatever_happens_no_queue_is_left_and_every_process_and_stop_ends() {
    for seed in 0..150 {
        let _shown = Shown(seed);
        let queues = [Queues::Own, Queues::Shared, Queues::Kept][(seed % 3) as usize];
        let delayed = [&FLAGS[..], &DELAYED].concat();
        let flags = if seed % 4 == 0 { &delayed[..] } else { &FLAGS };
        let mut world = started_with(flags, queues, seed);
        world.trouble = [0, 10, 40][(seed % 7 % 3) as usize];
        for _ in 0..80 {
            happen(&mut world);
            let time = [5, 50, 1_000, 20_000][world.random.below(4) as usize];
            let time = 1 + world.random.below(time);
            world.run(ms(time));
        }
        stop(&mut world);
    }
}

#[test]
fn a_server_that_is_told_to_stop_while_it_starts_ends() {
    for seed in 0..100 {
        let _shown = Shown(seed);
        let mut world = World::new(options(&FLAGS), Queues::Own, seed);
        world.trouble = 30;
        let time = world.random.below(100);
        world.run(ms(time));
        world.connect(2);
        stop(&mut world);
    }
}

#[test]
fn a_term_to_one_worker_is_a_replacement_and_then_a_stop() {
    let mut world = started(Queues::Own, 1);
    let old = world.serving()[&1];
    world.terminate(old);
    world.run(ms(1));
    assert!(world.rows().contains(&old));
    world.run(ms(5_000));
    assert!(!world.rows().contains(&old));
    assert_eq!(world.serving().len(), 3);
    assert_eq!(world.starts["exit"], 1);
    stop(&mut world);
}

#[test]
fn a_stalled_worker_gets_a_helper_within_its_limit_and_keeps_its_slot_if_it_recovers() {
    let mut world = started(Queues::Own, 2);
    let old = world.serving()[&2];
    world.freeze(old);
    world.run(ms(300));
    assert_eq!(world.starts["hang"], 1);
    assert_eq!(world.rows().len(), 4);
    world.thaw();
    world.run(ms(5_000));
    assert_eq!(world.rows().len(), 3);
    assert_eq!(world.serving()[&2], old);
    assert!(!world.starts.contains_key("crash"));
}

#[test]
fn a_worker_that_stays_stalled_is_aborted_and_its_helper_takes_its_place() {
    let mut world = started(Queues::Own, 3);
    let old = world.serving()[&0];
    world.freeze(old);
    world.run(ms(13_000));
    assert!(!world.rows().contains(&old));
    assert_eq!(world.rows().len(), 3);
    assert_eq!(world.starts.len(), 2, "{:?}", world.starts);
    assert_eq!(world.starts["hang"], 1);
}

#[test]
fn workers_and_helpers_that_all_stall_are_replaced_one_by_one() {
    let mut world = started(Queues::Own, 13);
    for _ in 0..4 {
        for row in world.rows() {
            world.freeze(row);
        }
        world.run(ms(1_000));
    }
    let old = world.rows();
    assert_eq!(old.len(), 6);
    world.run(ms(120_000));
    assert_eq!(world.serving().len(), 3, "{:?}", world.log);
    assert!(
        world
            .processes
            .values()
            .all(|process| process.frozen.is_none())
    );
}

#[test]
fn short_stalls_of_one_worker_start_few_helpers() {
    let mut world = started(Queues::Own, 4);
    let old = world.serving()[&0];
    for _ in 0..200 {
        world.freeze(old);
        world.run(ms(300));
        world.thaw();
        world.run(ms(200));
    }
    // In 100 seconds: at once, and after pauses of 1, 2, 4, 8, 16 and 32 seconds.
    assert!(world.starts["hang"] <= 7, "{:?}", world.starts);
    assert!(world.rows().contains(&old));
}

#[test]
fn a_stalled_worker_does_not_keep_a_reload_from_ending() {
    let mut world = started(Queues::Own, 5);
    let old = world.rows();
    world.freeze(world.serving()[&1]);
    world.run(ms(1_000));
    world.signal(Signal::SIGHUP);
    world.run(ms(30_000));
    assert_eq!(world.reloads, [1, 0], "{:?}", world.log);
    assert_eq!(world.serving().len(), 3);
    assert!(world.starts["reload"] == 3 && old.len() == 3);
}

#[test]
fn the_queue_of_a_stalled_worker_is_served_in_a_stop() {
    let mut world = started(Queues::Own, 6);
    let old = world.serving()[&1];
    world.freeze(old);
    world.queues[1] = 5;
    world.signal(Signal::SIGTERM);
    world.run(ms(1_500));
    assert_eq!(world.queues, [0, 0, 0], "{:?}", world.log);
    stop(&mut world);
}

#[test]
fn the_queue_of_a_worker_that_was_just_killed_is_served_in_a_stop() {
    let mut world = started(Queues::Own, 7);
    world.freeze(world.serving()[&1]);
    world.queues[1] = 5;
    world.kill(world.serving()[&1]);
    world.signal(Signal::SIGTERM);
    world.run(ms(1_200));
    assert_eq!(world.queues, [0, 0, 0], "{:?}", world.log);
    stop(&mut world);
}

#[test]
fn a_worker_that_was_ready_and_dies_during_the_start_is_restarted() {
    let mut world = World::new(options(&FLAGS), Queues::Own, 8);
    while world.serving().is_empty() {
        world.run(ms(1));
    }
    world.kill(world.serving()[&0]);
    world.run(ms(500));
    assert_eq!(world.policy.stage(), Stage::Serving, "{:?}", world.log);
    assert_eq!(world.starts["crash"], 1);
    assert!(!world.policy.has_failed());
}

#[test]
fn one_that_never_becomes_ready_ends_the_start() {
    let mut world = World::new(options(&FLAGS), Queues::Own, 9);
    world.run(Duration::ZERO);
    world.kill(0);
    world.run(ms(5_000));
    assert!(world.policy.is_done() && world.policy.has_failed());
    assert!(
        world.log[0].contains("before it was ready"),
        "{:?}",
        world.log
    );
}

#[test]
fn refused_starts_are_tried_again_with_one_line() {
    let mut world = started(Queues::Own, 10);
    world.trouble = 100;
    let starts = |world: &World| world.starts.values().sum::<u32>();
    let before = starts(&world);
    for row in world.rows() {
        world.kill(row);
    }
    world.run(ms(20_000));
    world.trouble = 0;
    world.run(ms(60_000));
    assert!(starts(&world) > before + 6);
    assert_eq!(world.serving().len(), 3, "{:?}", world.log);
}

#[test]
fn the_drain_delay_serves_on_and_a_second_term_ends_it() {
    let mut world = started_with(&[&FLAGS[..], &DELAYED].concat(), Queues::Own, 11);
    world.signal(Signal::SIGTERM);
    world.signal(Signal::SIGTERM);
    world.run(ms(500));
    assert!(matches!(world.policy.stage(), Stage::Delaying { .. }));
    world.kill(world.serving()[&0]);
    world.run(ms(200));
    assert_eq!(world.serving().len(), 3);
    world.signal(Signal::SIGTERM);
    assert!(matches!(world.policy.stage(), Stage::Stopping(_)));
    world.run(ms(9_000));
    assert!(world.policy.is_done());
}

#[test]
fn without_a_hang_timeout_nobody_is_helped_and_without_a_timeout_nobody_is_aborted() {
    for (flags, helpers) in [
        (["--hang-timeout", "0", "--timeout", "0"], 0),
        (["--hang-timeout", "0.2", "--timeout", "0"], 1),
    ] {
        let mut world = World::new(options(&flags), Queues::Own, 12);
        world.run(ms(500));
        let old = world.serving()[&0];
        world.freeze(old);
        world.run(ms(50_000));
        assert_eq!(world.starts.get("hang").copied().unwrap_or(0), helpers);
        assert!(world.rows().contains(&old));
    }
}

#[test]
fn stops_are_ordered_by_their_urgency() {
    assert!(Stop::Not < Stop::Worker && Stop::Worker < Stop::Slot);
    assert!(Stop::Slot < Stop::Server && Stop::Server < Stop::Quick);
}

#[test]
fn where_no_worker_serves_connections_go_to_slots_that_have_a_process() {
    let now = Instant::now();
    let (mut slots, mut turn) = (Slots::new(2, Queues::Own, now), Turn::at(now));
    slots.start(1, SpawnReason::Crash, &mut turn);
    slots.steer(&mut turn);
    let steered = turn.actions.last();
    assert!(
        matches!(steered, Some(Action::Steer(targets)) if targets == &[1]),
        "{steered:?}"
    );
}

#[test]
fn signals_that_come_at_once_leave_no_worker_behind() {
    let mut world = started(Queues::Own, 10);
    for _ in 0..2 {
        world.signals(&[Signal::SIGTTIN, Signal::SIGTTOU]);
        world.run(ms(5_000));
        assert_eq!(world.serving().len(), 3, "{:?}", world.log);
        world.signal(Signal::SIGTTIN);
        world.run(ms(5_000));
        assert_eq!(world.serving().len(), 4, "{:?}", world.log);
        let known = world.policy.processes().map(|process| process.row);
        assert_eq!(known.collect::<BTreeSet<_>>(), world.rows());
        world.signal(Signal::SIGTTOU);
    }
    stop(&mut world);
}
