//! What the program hears from its master, and what it can add.

use std::{any::Any, collections::BTreeMap, process::ExitStatus};

use super::{
    reason::{SpawnReason, StopReason},
    snapshot::Snapshots,
};
use crate::BoxError;

/// Environment variables of the workers, in addition to those of the master.
pub type Environment = BTreeMap<String, String>;

/// The state that a start hook can add to.
#[non_exhaustive]
pub struct Start {
    /// Environment variables of the workers, in addition to those of the master.
    pub environment: Environment,
    /// Notes that the master appends to its ready line.
    pub notes: Vec<String>,
    /// Takes snapshots of what the master and its workers count.
    pub snapshots: Snapshots,
    pub(crate) on_exit: Vec<Hook<'static, Exit>>,
}

impl Start {
    /// Calls `hook` in the master after each worker has ended, as
    /// [`Master::on_exit`](crate::Master::on_exit) does.
    pub fn on_exit(&mut self, hook: impl FnMut(&Exit) + 'static) {
        self.on_exit.push(Box::new(hook));
    }
}

/// A worker that was started.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Spawn {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
    /// Why it was started.
    pub reason: SpawnReason,
}

/// A worker that has become ready.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
}

/// A worker that is about to be told to stop.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Stop {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
    /// Why it has to stop.
    pub reason: StopReason,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exit {
    /// The worker's slot, from 0.
    pub slot: u16,
    /// Its process id, which the operating system may already have reused.
    pub pid: u32,
    /// Whether it had become ready.
    pub was_ready: bool,
    /// Its exit code, or the signal that killed it.
    pub status: ExitStatus,
    /// Connections, including idle ones, that were open when it ended.
    pub cut: u32,
}

pub(crate) type OnStart<'a> = Box<dyn FnOnce(&mut Start) -> Result<Box<dyn Any>, BoxError> + 'a>;
pub(crate) type Hook<'a, T> = Box<dyn FnMut(&T) + 'a>;

/// What the master calls while it runs.
#[derive(Default)]
pub(crate) struct Hooks<'a> {
    pub(crate) on_spawn: Vec<Hook<'a, Spawn>>,
    pub(crate) on_ready: Vec<Hook<'a, Ready>>,
    pub(crate) on_stop: Vec<Hook<'a, Stop>>,
    pub(crate) on_exit: Vec<Hook<'a, Exit>>,
}

/// Calls every hook.
pub(crate) fn call<T>(hooks: &mut [Hook<'_, T>], event: &T) {
    hooks.iter_mut().for_each(|hook| hook(event));
}
