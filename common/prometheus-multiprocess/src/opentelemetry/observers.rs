//! Reads observable instruments.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use crate::lock;

type Observer = Arc<dyn Fn() + Send + Sync>;

/// What reads each observable instrument once.
#[derive(Default)]
pub(super) struct Observers {
    observers: Mutex<Vec<Observer>>,
    panicked: AtomicBool,
}

impl Observers {
    /// Adds an observer, which is called at once, too.
    pub(super) fn add(&self, observer: impl Fn() + Send + Sync + 'static) {
        let observer: Observer = Arc::new(observer);
        self.call(&observer);
        lock(&self.observers).push(observer);
    }

    pub(super) fn run(&self) {
        // An observer may make instruments.
        let observers = lock(&self.observers).clone();
        for observer in &observers {
            self.call(observer);
        }
    }

    fn call(&self, observer: &Observer) {
        let result = catch_unwind(AssertUnwindSafe(|| observer()));
        if result.is_err() && !self.panicked.swap(true, Relaxed) {
            log::warn!("the callback of an observable instrument panicked (logged once)");
        }
    }
}
