//! A reload under way, and what became of the workers that it replaced.
//!
//! At most one replacement boots at a time, and the worker before it serves until then.

use std::time::Instant;

use log::Level;

use super::{
    action::{Action, Turn},
    outcome::End,
    process::Process,
    slot::Slot,
    slots::Slots,
};
use crate::master::{
    reason::{SpawnReason, StopReason},
    wording::counted,
};

/// What is being replaced.
#[derive(Debug, Default)]
pub(crate) struct Rollover {
    /// When the reload under way began. Slots know whether it has reached them.
    began: Option<Instant>,
    /// Whether another reload was asked for meanwhile.
    again: bool,
    report: Report,
}

/// What became of the workers that reloads have replaced.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    replaced: u32,
    /// Workers that still finish.
    left: u32,
    clean: u32,
    cut: u32,
}

impl Rollover {
    /// Takes up a `SIGHUP`.
    pub(crate) fn ask(&mut self, turn: &mut Turn) {
        if self.is_reloading() {
            self.again = true;
            let text = "SIGHUP: a reload is in progress, another one will follow";
            turn.log(Level::Info, "reload.deferred", text);
        } else {
            turn.push(Action::OpenProgram);
        }
    }

    /// Begins to replace every worker.
    pub(crate) fn begin(&mut self, slots: &mut Slots, now: Instant) {
        self.began = Some(now);
        slots.all.iter_mut().for_each(|slot| slot.renewed = false);
    }

    /// Starts the next replacement, unless one boots.
    pub(crate) fn advance(&mut self, slots: &mut Slots, turn: &mut Turn) {
        let rolls = |process: &Process| {
            let reason = matches!(process.reason, SpawnReason::Reload | SpawnReason::Recycle);
            reason && process.is_booting() && process.leaves.is_none()
        };
        if slots.processes().any(rolls) {
            return;
        }
        let now = turn.now;
        if self.is_reloading() {
            let is_pending = |slot: &Slot| slot.is_open() && !slot.renewed;
            for slot in slots.all.iter_mut().filter(|slot| is_pending(slot)) {
                // What replaces a helped worker is its helper, which is then replaced.
                if slot.second().is_some_and(Process::is_well) {
                    slot.take_over(turn);
                }
            }
            if let Some(slot) = slots.find(|slot| is_pending(slot) && slot.may_reload(now)) {
                slots.start(slot, SpawnReason::Reload, turn);
            } else if slots.find(is_pending).is_none() {
                self.end(true, slots, turn);
            }
            return;
        }
        let worn = |process: &Process| {
            let reached = process.limit.is_some_and(|limit| process.requests >= limit);
            reached && process.is_well()
        };
        let is_due = |slot: &Slot| slot.may_replace(now) && slot.current().is_some_and(worn);
        if let Some(slot) = slots.find(is_due) {
            if let Some(process) = slots.get(slot).current() {
                let text = "reached its request limit (--max-requests), replacing it";
                process.log(Level::Info, "worker.recycled", text, turn);
            }
            slots.start(slot, SpawnReason::Recycle, turn);
        }
    }

    /// Stops a reload. What runs goes on running.
    pub(crate) fn fail(&mut self, why: &str, slots: &mut Slots, turn: &mut Turn) {
        if !self.is_reloading() {
            return;
        }
        let done = slots.open().filter(|slot| slot.renewed).count();
        let text = format!(
            "reload failed: {why}; {} replaced, {} still to replace keep the old program",
            counted(done as u32, "worker"),
            slots.open().count() - done
        );
        turn.log(Level::Error, "reload.failed", text);
        for slot in &mut slots.all {
            let second = slot.second().map(|second| second.reason);
            if second == Some(SpawnReason::Reload) {
                slot.dismiss(StopReason::Reload, turn);
            }
        }
        self.end(false, slots, turn);
    }

    fn end(&mut self, success: bool, slots: &mut Slots, turn: &mut Turn) {
        self.began = None;
        slots.all.iter_mut().for_each(|slot| slot.renewed = false);
        turn.push(Action::EndReload { success });
        self.log_report(turn);
        if std::mem::take(&mut self.again) {
            self.ask(turn);
        }
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.began.is_some()
    }

    /// Notes that a reload has brought a worker, and whether another one leaves for it.
    pub(crate) fn note_ready(&mut self, replaced: bool) {
        self.report.replaced += 1;
        self.report.left += u32::from(replaced);
    }

    /// Notes the end of a process, which `crashed` if it was to go on.
    pub(crate) fn note_ended(
        &mut self,
        process: &Process,
        end: &End<'_>,
        crashed: bool,
        slots: &mut Slots,
        turn: &mut Turn,
    ) {
        if process.leaves == Some(StopReason::Reload) {
            self.report.left = self.report.left.saturating_sub(1);
            self.report.cut += end.cut;
            self.report.clean += u32::from(end.cut == 0 && end.success);
        }
        if let Some(began) = self.began {
            let boots = process.ready.is_none() && process.leaves.is_none();
            let is_new = process.reason == SpawnReason::Reload && process.started >= began;
            let why = match () {
                () if boots && is_new => Some("before it was ready"),
                () if crashed && slots.get(process.slot).renewed => Some("with the new program"),
                () => None,
            };
            if let Some(why) = why {
                let why = format!("{} {} {why}", process.name(), end.how);
                self.fail(&why, slots, turn);
            }
        }
        self.log_report(turn);
    }

    /// Tells what became of the replaced workers, once the last of them has ended.
    fn log_report(&mut self, turn: &mut Turn) {
        let report = self.report;
        if self.is_reloading() || report.replaced == 0 || report.left > 0 {
            return;
        }
        self.report = Report::default();
        let text = format!(
            "reloaded: {} replaced, {} drained cleanly, {} cut",
            counted(report.replaced, "worker"),
            report.clean,
            counted(report.cut, "connection")
        );
        turn.log(Level::Info, "reload.done", text);
    }
}
