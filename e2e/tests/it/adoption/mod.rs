//! A plain actix-web service takes in each scenario by the steps of its README, and all signals at once.
//!
//! `e2e/adoption/service` is the service, in a workspace of its own that has a member `common` already. Each patch in
//! `e2e/adoption/patches` is what an adopter types.

mod lock;
mod telemetry;
mod vendored;

use std::collections::BTreeSet;

use anyhow::Result;

use self::vendored::Service;

/// The patches of all kinds of telemetry together change at most this many lines.
const MAX_CHANGED_LINES: usize = 40;

/// What an adopter changes to take in a scenario, in this order. Pulling from several processes comes after
/// `workers`, which is the page about leaving `HttpServer`.
const ADOPTED: [(&str, &[&str]); 5] = [
    ("metrics-push", &["metrics-push"]),
    ("logs", &["logs"]),
    ("traces", &["traces"]),
    (
        "metrics-single-process-pull",
        &["metrics-single-process-pull"],
    ),
    (
        "metrics-multi-process-pull",
        &["workers", "metrics-multi-process-pull"],
    ),
];

#[test]
fn a_plain_service_takes_in_each_scenario_and_at_most_one_file() -> Result<()> {
    for (scenario, patches) in ADOPTED {
        let service = Service::copy(scenario)?;
        for patch in patches {
            service.apply(patch)?;
        }
        service.copy_telemetry_if_used(scenario)?;
        service.build()?;
        lock::assert_nothing_moved(&service)?;
    }
    Ok(())
}

#[test]
fn all_signals_arrive_exactly_from_a_plain_service() -> Result<()> {
    let service = Service::copy("all-signals")?;
    service.apply("workers")?;
    let changed = service.apply("all-signals")?;
    println!("all-signals.patch changes {changed} lines");
    assert!(changed <= MAX_CHANGED_LINES, "{changed} lines");
    service.build()?;
    // The tests of the service's own handlers do not change.
    service.cargo(&["test"])?;
    lock::assert_nothing_moved(&service)?;

    let tree = ["tree", "--workspace", "--prefix", "none"];
    let edges = ["--edges", "normal,build,dev"];
    let tree = service.cargo(&[&tree[..], &edges].concat())?;
    let packages: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    for ours in ["loom", "proptest"] {
        assert!(
            !packages.contains(ours),
            "the service builds our test dependency {ours}"
        );
    }

    telemetry::assert_exact(&service)
}
