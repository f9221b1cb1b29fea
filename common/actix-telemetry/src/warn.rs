//! Warnings about the environment: one line for each variable, from one process of
//! the service.

use std::{
    collections::BTreeSet,
    env,
    fmt::Display,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::stderr::{self, CONSOLE};

/// Set by `actix-prefork` in each worker process: its number, from 0.
const WORKER_SLOT: &str = "WORKER_SLOT";

/// Variables that were reported in this process.
static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether another process reports for this one.
static MUTED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
thread_local! {
    /// What would have been reported, for tests.
    pub(crate) static WARNINGS: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Reports a variable that is not used as it stands, once. All workers of a service
/// have the same environment, so the first one reports for all.
///
/// `value` is printed as it is: pass a redacted text where it may hold a secret.
pub(crate) fn warn(name: &str, value: &str, expected: &str, used: impl Display) {
    let text = format!("{name} is {value:?}, {expected}; using {used}");
    #[cfg(test)]
    WARNINGS.with_borrow_mut(|warnings| warnings.push(text.clone()));
    let is_another_worker = slot().is_some_and(|slot| slot != "0");
    if is_another_worker || MUTED.load(Relaxed) {
        return;
    }
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !reported.insert(name.to_owned()) {
        return;
    }
    match stderr::is_early() {
        true => stderr::warn_early(&text),
        false => log::warn!("{text}"),
    }
}

/// Reports a filter that cannot be parsed. The console of a worker is that of its
/// master, which reports.
pub(crate) fn warn_filter(name: &str, bad: Option<String>) {
    if let Some(value) = bad
        && !(name == CONSOLE && is_worker())
    {
        let expected = "expected levels like info and targets like my_crate=debug, separated by \
                        commas";
        warn(name, &value, expected, "info");
    }
}

/// Has [`warn`] print nothing more in this process.
#[cfg(all(feature = "prefork", feature = "metrics"))]
pub(crate) fn mute() {
    MUTED.store(true, Relaxed);
}

/// Whether this process is a worker of `actix-prefork`.
pub(crate) fn is_worker() -> bool {
    slot().is_some()
}

fn slot() -> Option<String> {
    env::var(WORKER_SLOT).ok()
}
