//! A reload under way, and what became of the workers that it replaced.
//!
//! At most one replacement boots at a time, and the worker before it serves until then.

use std::{collections::BTreeSet, time::Instant};

use log::Level;

use super::{
    action::{Action, Actions},
    process::Process,
    slots::Slots,
};
use crate::master::{
    hooks::{SpawnReason, StopReason},
    wording::counted,
};

/// What is being replaced.
#[derive(Debug, Default)]
pub(crate) struct Rollover {
    reload: Option<Reload>,
    /// Whether another reload was asked for meanwhile.
    again: bool,
    report: Report,
}

/// A reload under way.
#[derive(Debug)]
struct Reload {
    began: Instant,
    /// Slots that run the program as it was before.
    pending: BTreeSet<u16>,
    /// Slots that run it as it is now.
    done: BTreeSet<u16>,
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
    pub(crate) fn ask(&mut self, out: &mut Actions) {
        if self.is_reloading() {
            self.again = true;
            let text = "SIGHUP: a reload is in progress, another one will follow";
            out.log(Level::Info, "reload.deferred", text);
        } else {
            out.push(Action::OpenProgram);
        }
    }

    /// Begins to replace every worker.
    pub(crate) fn begin(&mut self, slots: &Slots, now: Instant) {
        let open = slots.numbers().filter(|slot| slots.get(*slot).is_open());
        self.reload = Some(Reload {
            began: now,
            pending: open.collect(),
            done: BTreeSet::new(),
        });
    }

    /// Starts the next replacement, unless one boots.
    pub(crate) fn advance(&mut self, slots: &mut Slots, now: Instant, out: &mut Actions) {
        let rolls = |process: &Process| {
            let reason = matches!(process.reason, SpawnReason::Reload | SpawnReason::Recycle);
            reason && process.is_booting() && process.leaves.is_none()
        };
        if slots.processes().any(rolls) {
            return;
        }
        if let Some(reload) = &self.reload {
            for slot in &reload.pending {
                // What replaces a helped worker is its helper, which is then replaced.
                if slots.get(*slot).second().is_some_and(Process::is_well) {
                    slots.get_mut(*slot).take_over(now, out);
                }
            }
            let mut pending = reload.pending.iter().copied();
            if let Some(slot) = pending.find(|slot| slots.get(*slot).may_reload(now)) {
                slots.start(slot, SpawnReason::Reload, true, now, out);
            } else if reload.pending.is_empty() {
                self.end(true, out);
            }
            return;
        }
        let worn = |process: &Process| {
            let reached = process.limit.is_some_and(|limit| process.requests >= limit);
            reached && process.is_well()
        };
        let is_due = |slot: &u16| {
            let slot = slots.get(*slot);
            slot.may_replace(now) && slot.current().is_some_and(worn)
        };
        if let Some(slot) = slots.numbers().find(is_due) {
            if let Some(process) = slots.get(slot).current() {
                let text = "reached its request limit (--max-requests), replacing it";
                out.log_of(process, Level::Info, "worker.recycled", text);
            }
            slots.start(slot, SpawnReason::Recycle, false, now, out);
        }
    }

    /// Stops a reload. What runs goes on running.
    pub(crate) fn fail(&mut self, why: &str, slots: &mut Slots, now: Instant, out: &mut Actions) {
        let Some(reload) = &self.reload else {
            return;
        };
        let text = format!(
            "reload failed: {why}; {} replaced, {} still to replace keep the old program",
            counted(reload.done.len() as u32, "worker"),
            reload.pending.len()
        );
        out.log(Level::Error, "reload.failed", text);
        for slot in &mut slots.all {
            if slot
                .second()
                .is_some_and(|second| second.reason == SpawnReason::Reload)
            {
                slot.dismiss(StopReason::Reload, now, out);
            }
        }
        self.end(false, out);
    }

    fn end(&mut self, success: bool, out: &mut Actions) {
        self.reload = None;
        out.push(Action::EndReload { success });
        self.log_report(out);
        if std::mem::take(&mut self.again) {
            self.ask(out);
        }
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.reload.is_some()
    }

    /// Whether a worker that is started now runs the program of the reload.
    pub(crate) fn runs_new(&self, slot: u16, reason: SpawnReason) -> bool {
        let reload = self.reload.as_ref();
        reload.is_some_and(|reload| reason == SpawnReason::Reload || reload.done.contains(&slot))
    }

    /// Includes a slot that was opened while a reload is under way.
    pub(crate) fn opened(&mut self, slot: u16) {
        if let Some(reload) = &mut self.reload {
            reload.done.remove(&slot);
            reload.pending.insert(slot);
        }
    }

    pub(crate) fn closed(&mut self, slot: u16) {
        if let Some(reload) = &mut self.reload {
            reload.done.remove(&slot);
            reload.pending.remove(&slot);
        }
    }

    /// Notes a worker that runs the new program, and whether another leaves for it.
    pub(crate) fn note_ready(&mut self, slot: u16, replaced: bool) {
        self.report.replaced += 1;
        self.report.left += u32::from(replaced);
        if let Some(reload) = &mut self.reload {
            reload.pending.remove(&slot);
            reload.done.insert(slot);
        }
    }

    /// Notes the end of a process, which `crashed` if it was to go on. Returns why the
    /// reload has failed, if it has.
    pub(crate) fn note_ended(
        &mut self,
        process: &Process,
        success: bool,
        crashed: bool,
        cut: u32,
    ) -> Option<&'static str> {
        if process.leaves == Some(StopReason::Reload) {
            self.report.left = self.report.left.saturating_sub(1);
            self.report.cut += cut;
            self.report.clean += u32::from(cut == 0 && success);
        }
        let reload = self.reload.as_ref()?;
        let boots = process.ready.is_none() && process.leaves.is_none();
        let of_this = process.reason == SpawnReason::Reload && process.started >= reload.began;
        match () {
            () if boots && of_this => Some("before it was ready"),
            () if crashed && reload.done.contains(&process.slot) => Some("with the new program"),
            () => None,
        }
    }

    /// Tells what became of the replaced workers, once the last of them has ended.
    pub(crate) fn log_report(&mut self, out: &mut Actions) {
        let report = self.report;
        if self.reload.is_some() || report.replaced == 0 || report.left > 0 {
            return;
        }
        self.report = Report::default();
        let text = format!(
            "reloaded: {} replaced, {} drained cleanly, {} cut",
            counted(report.replaced, "worker"),
            report.clean,
            counted(report.cut, "connection")
        );
        out.log(Level::Info, "reload.done", text);
    }
}
