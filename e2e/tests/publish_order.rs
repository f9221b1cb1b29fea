//! Runs the memory accesses of the metric store under a model checker, which tries all orders in
//! which two processes can see each other's writes.
//!
//! The test is here so that a copy of the store does not depend on the model checker.

use std::sync::Arc;

use loom::{
    sync::atomic::{self, Ordering::Relaxed},
    thread,
};

#[path = "../../common/prometheus-multiprocess/src/cell.rs"]
mod cell;

/// Two entries. Only the order of `used` makes a reader see their contents.
struct File {
    used: atomic::AtomicU32,
    entries: [atomic::AtomicU64; 2],
}

#[test]
fn a_reader_sees_nothing_of_an_entry_or_all_of_it() {
    loom::model(|| {
        let file = Arc::new(File {
            used: atomic::AtomicU32::new(0),
            entries: [atomic::AtomicU64::new(0), atomic::AtomicU64::new(0)],
        });
        let writer = {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                for (end, entry) in (1..).zip(&file.entries) {
                    entry.store(7, Relaxed);
                    cell::publish(&file.used, end);
                }
            })
        };
        let used = cell::published(&file.used);
        for entry in &file.entries[..used as usize] {
            assert_eq!(entry.load(Relaxed), 7);
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
fn what_was_counted_while_a_file_was_written_is_carried_over_beside_further_additions() {
    loom::model(|| {
        // The file got 3, the memory has counted 2 more, and the process goes on in the file.
        let memory = atomic::AtomicU64::new(5.0_f64.to_bits());
        let file = Arc::new(atomic::AtomicU64::new(3.0_f64.to_bits()));
        let adder = {
            let file = Arc::clone(&file);
            thread::spawn(move || cell::add(&file, 1.5))
        };
        cell::carry(&memory, 3.0_f64.to_bits(), &file);
        adder.join().expect("an adder does not panic");
        assert_eq!(cell::get(&file), 6.5);
    });
}

#[test]
fn a_reader_that_sees_the_time_of_a_change_sees_the_change() {
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

/// A slot of an exemplar, with two words.
struct Slot {
    lock: atomic::AtomicU64,
    words: [atomic::AtomicU64; 2],
}

#[test]
fn a_reader_sees_a_whole_exemplar_or_none() {
    loom::model(|| {
        let slot = Arc::new(Slot {
            lock: atomic::AtomicU64::new(0),
            words: [atomic::AtomicU64::new(0), atomic::AtomicU64::new(0)],
        });
        let writer = |number: u64| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || cell::put(&slot.lock, &slot.words, [number, number]))
        };
        let writers = [writer(1), writer(2)];
        if let Some([first, second]) = cell::take(&slot.lock, &slot.words) {
            assert!(first == second && first > 0, "{first} {second}");
        }
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
        let [first, second] = cell::take(&slot.lock, &slot.words).expect("one was written");
        assert!(first == second && first > 0, "{first} {second}");
    });
}
