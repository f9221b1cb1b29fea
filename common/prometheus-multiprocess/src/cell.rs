//! Changes numbers in a shared mapping, and publishes new entries.
//!
//! Every function takes plain atomics, so that a model checker can run this file with
//! its own.

use std::hint::{black_box, spin_loop};

use crate::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

/// How often a thread pauses that lost the race for a number: for 1.6 µs at 25 ns each.
///
/// What a race costs is to move the number between the caches of two processors. Meanwhile the
/// other thread changes it many times without that.
const PAUSES: usize = 64;

/// Adds `amount` to the number whose bits `cell` holds.
///
/// Several threads add to the same cell, so this is a compare-and-swap loop; no
/// addition is lost. Nothing else is published by it, hence the relaxed order.
#[inline]
pub(crate) fn add(cell: &AtomicU64, amount: f64) {
    let mut seen = cell.load(Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + amount).to_bits();
        match cell.compare_exchange_weak(seen, sum, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(_) => {
                // Unknown to the compiler, which would write them one after the other.
                (0..black_box(PAUSES)).for_each(|_| spin_loop());
                seen = cell.load(Relaxed);
            }
        }
    }
}

/// Replaces the number in `cell`.
#[inline]
pub(crate) fn set(cell: &AtomicU64, value: f64) {
    cell.store(value.to_bits(), Relaxed);
}

/// The number in `cell`.
#[inline]
pub(crate) fn get(cell: &AtomicU64) -> f64 {
    f64::from_bits(cell.load(Relaxed))
}

/// Replaces a number and the time of its change.
///
/// The time is stored last: who sees the new time sees the new number, so an old
/// number can never win over a newer one in another process by a time that is not its own.
#[inline]
pub(crate) fn set_at(value: &AtomicU64, time: &AtomicU64, number: f64, seconds: f64) {
    set(value, number);
    time.store(seconds.to_bits(), Release);
}

/// The number and the time that [`set_at`] stored.
#[inline]
pub(crate) fn get_at(value: &AtomicU64, time: &AtomicU64) -> (f64, f64) {
    let seconds = f64::from_bits(time.load(Acquire));
    (get(value), seconds)
}

/// Announces everything before the byte `end` of a file to its readers.
#[inline]
pub(crate) fn publish(used: &AtomicU32, end: u32) {
    used.store(end, Release);
}

/// The byte before which everything in a file is complete.
#[inline]
pub(crate) fn published(used: &AtomicU32) -> u32 {
    used.load(Acquire)
}

/// Carries over to `to` what happened to `from` since it had the bits `copied`, which `to` then
/// got: adds the difference, or replaces a value that is still the same.
pub(crate) fn carry(from: &AtomicU64, copied: u64, to: &AtomicU64) {
    let now = from.load(Relaxed);
    if now != copied && to.compare_exchange(copied, now, Relaxed, Relaxed).is_err() {
        add(to, f64::from_bits(now) - f64::from_bits(copied));
    }
}

/// Replaces the words behind a sequence lock, the first word. Its number is odd while somebody
/// writes. Whoever finds it odd leaves it at that: the other one's words are as new.
#[inline]
pub(crate) fn put<const WORDS: usize>(
    lock: &AtomicU64,
    words: &[AtomicU64; WORDS],
    new: [u64; WORDS],
) {
    let seen = lock.load(Relaxed);
    if !seen.is_multiple_of(2)
        || lock
            .compare_exchange(seen, seen + 1, Acquire, Relaxed)
            .is_err()
    {
        return;
    }
    // Who sees a new word sees the odd number, too.
    fence(Release);
    for (word, new) in words.iter().zip(new) {
        word.store(new, Relaxed);
    }
    lock.store(seen + 2, Release);
}

/// What [`put`] wrote; `None` if nothing was written yet, or is being written.
pub(crate) fn take<const WORDS: usize>(
    lock: &AtomicU64,
    words: &[AtomicU64; WORDS],
) -> Option<[u64; WORDS]> {
    let before = lock.load(Acquire);
    let found = std::array::from_fn(|index| words[index].load(Relaxed));
    fence(Acquire);
    let is_whole = before > 0 && before.is_multiple_of(2) && lock.load(Relaxed) == before;
    is_whole.then_some(found)
}
