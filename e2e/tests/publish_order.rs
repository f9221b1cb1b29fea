//! The lines that change numbers and announce entries, run under a model checker that tries all
//! orders in which two processes may see each other's memory.

use std::sync::Arc;

use loom::{cell::UnsafeCell, sync::atomic, thread};

#[path = "../src/cell.rs"]
mod cell;

/// The bytes of two entries; loom fails a test in which one is read while it may be written.
struct File {
    used: atomic::AtomicU32,
    entries: [UnsafeCell<u64>; 2],
}

// SAFETY: that an entry is never read and written at once is what the model checker verifies.
unsafe impl Sync for File {}

#[test]
fn a_reader_sees_nothing_of_an_entry_or_all_of_it() {
    loom::model(|| {
        let file = Arc::new(File {
            used: atomic::AtomicU32::new(0),
            entries: [UnsafeCell::new(0), UnsafeCell::new(0)],
        });
        let writer = {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                for (end, entry) in (1..).zip(&file.entries) {
                    // SAFETY: see `File`.
                    entry.with_mut(|entry| unsafe { *entry = 7 });
                    cell::publish(&file.used, end);
                }
            })
        };
        let used = cell::published(&file.used);
        for entry in &file.entries[..used as usize] {
            // SAFETY: see `File`.
            assert_eq!(entry.with(|entry| unsafe { *entry }), 7);
        }
        writer.join().expect("the writer does not panic");
    });
}

#[test]
fn no_addition_is_lost() {
    loom::model(|| {
        let number = Arc::new(atomic::AtomicU64::new(0));
        let adders: Vec<_> = (0..2)
            .map(|_| {
                let number = Arc::clone(&number);
                thread::spawn(move || {
                    cell::add(&number, 1.5);
                    cell::add(&number, 0.25);
                })
            })
            .collect();
        for adder in adders {
            adder.join().expect("an adder does not panic");
        }
        assert_eq!(cell::get(&number), 3.5);
    });
}

#[test]
fn who_sees_the_time_of_a_change_sees_the_change() {
    loom::model(|| {
        let gauge = Arc::new((atomic::AtomicU64::new(0), atomic::AtomicU64::new(0)));
        let setter = {
            let gauge = Arc::clone(&gauge);
            thread::spawn(move || cell::set_at(&gauge.0, &gauge.1, 42.0, 1000.0))
        };
        let (value, time) = cell::get_at(&gauge.0, &gauge.1);
        assert!(time == 0.0 || value == 42.0, "{value} at {time}");
        setter.join().expect("the setter does not panic");
        cell::set(&gauge.0, 1.0);
        assert_eq!(cell::get_at(&gauge.0, &gauge.1), (1.0, 1000.0));
    });
}
