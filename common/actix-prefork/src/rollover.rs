//! Replacing workers that are well: on a reload all of them, otherwise those that
//! have answered their number of requests. At most one replacement boots at a time,
//! and the worker before it serves until then.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    rc::Rc,
    time::Instant,
};

use crate::{
    Options, SpawnReason,
    binary::Binary,
    fleet::{Ended, Ready},
    process::Process,
    scoreboard::Role,
    supervise::Supervisor,
    wording::counted,
};

/// What is being replaced.
#[derive(Default)]
pub(crate) struct Rollover {
    reload: Option<Reload>,
    /// Whether another reload was asked for meanwhile.
    again: bool,
    report: Report,
}

/// A reload under way.
struct Reload {
    began: Instant,
    binary: Rc<Binary>,
    /// Slots that run the program as it was before.
    pending: BTreeSet<u16>,
    /// Slots that run it as it is now.
    done: BTreeSet<u16>,
}

/// What became of the workers that reloads have replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Report {
    replaced: u32,
    /// Workers that still finish.
    left: u32,
    clean: u32,
    cut: u32,
}

/// After how many requests a worker that is started now is replaced.
pub(crate) fn draw_limit(options: &Options) -> Option<u64> {
    // Seeded by the system for each thread, and different each time.
    let random = RandomState::new().hash_one(());
    let jitter = random % (u64::from(options.max_requests_jitter) + 1);
    match options.max_requests {
        0 => None,
        requests => Some(u64::from(requests) + jitter),
    }
}

impl Rollover {
    /// The program that a worker of `slot` runs where a reload has changed it.
    pub(crate) fn binary(&self, slot: u16, reason: SpawnReason) -> Option<&Rc<Binary>> {
        let reload = self.reload.as_ref()?;
        let new = reason == SpawnReason::Reload || reload.done.contains(&slot);
        new.then_some(&reload.binary)
    }

    pub(crate) fn is_reloading(&self) -> bool {
        self.reload.is_some()
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

    pub(crate) fn note_ready(&mut self, ready: &Ready) {
        if ready.process.reason != SpawnReason::Reload {
            return;
        }
        self.report.replaced += 1;
        self.report.left += u32::from(ready.before.is_some());
        if let Some(reload) = &mut self.reload {
            reload.pending.remove(&ready.slot);
            reload.done.insert(ready.slot);
        }
    }

    fn note_ended(&mut self, ended: &Ended) {
        let of_reload = |retired: crate::process::Retired| retired.reason == SpawnReason::Reload;
        if ended.process.retired.is_some_and(of_reload) {
            self.report.left -= 1;
            self.report.cut += ended.cut;
            self.report.clean += u32::from(ended.cut == 0 && ended.status.success());
        }
    }

    /// What there is to tell once the last replaced worker has ended.
    fn take_report(&mut self) -> Option<String> {
        let report = self.report;
        if self.reload.is_some() || report.replaced == 0 || report.left > 0 {
            return None;
        }
        self.report = Report::default();
        Some(format!(
            "reloaded: {} replaced, {} drained cleanly, {} cut",
            counted(report.replaced, "worker"),
            report.clean,
            counted(report.cut, "connection")
        ))
    }
}

impl Supervisor<'_> {
    /// Begins to replace all workers by the program that is on disk now.
    pub(crate) fn reload(&mut self) {
        if self.rollover.reload.is_some() {
            log::info!("SIGHUP: a reload is in progress, another one will follow");
            self.rollover.again = true;
            return;
        }
        let Some(path) = &self.path else {
            self.fleet.board.count_reload(false);
            return log::error!(
                "cannot reload: cannot determine the path of this executable; \
                 start it by its path"
            );
        };
        match Binary::open(path) {
            Ok(binary) => {
                log::info!(
                    "SIGHUP: replacing workers one by one with {}",
                    path.display()
                );
                let slots = self.fleet.slots();
                let open = slots.filter(|(_, slot)| slot.is_open());
                self.rollover.reload = Some(Reload {
                    began: Instant::now(),
                    binary: Rc::new(binary),
                    pending: open.map(|(slot, _)| slot).collect(),
                    done: BTreeSet::new(),
                });
            }
            Err(error) => {
                self.fleet.board.count_reload(false);
                log::error!("cannot reload: {error}");
            }
        }
    }

    /// Starts the next replacement, unless one boots.
    pub(crate) fn roll_over(&mut self, now: Instant) {
        let rolls = |process: &Process| {
            let reason = matches!(process.reason, SpawnReason::Reload | SpawnReason::Recycle);
            reason && process.ready.is_none() && process.retired.is_none()
        };
        if self.fleet.processes().any(rolls) {
            return;
        }
        if self.rollover.reload.is_some() {
            return self.reload_next(now);
        }
        let worn = |process: &Process| {
            let requests = self.fleet.board.row(process.row).activity.requests();
            process.limit.is_some_and(|limit| requests >= limit) && process.serves()
        };
        let mut slots = self.fleet.slots();
        let due = slots.find(|(_, slot)| slot.may_replace(now) && slot.current().is_some_and(worn));
        let due = due.map(|(slot, _)| slot);
        drop(slots);
        if let Some(slot) = due {
            log::info!("worker {slot} reached its request limit (--max-requests), replacing it");
            self.start_worker(slot, SpawnReason::Recycle);
        }
    }

    fn reload_next(&mut self, now: Instant) {
        let Some(reload) = &self.rollover.reload else {
            return;
        };
        let may_start = |slot: &&u16| {
            let slot = self.fleet.slot(**slot);
            slot.is_vacant() || slot.may_replace(now)
        };
        if let Some(slot) = reload.pending.iter().find(may_start).copied() {
            self.start_worker(slot, SpawnReason::Reload);
        } else if reload.pending.is_empty() {
            self.binary = reload.binary.clone();
            self.fleet.board.count_reload(true);
            self.end_reload();
        }
    }

    /// Notes what the end of a worker means for a reload.
    pub(crate) fn rolled_over(&mut self, ended: &Ended) {
        self.rollover.note_ended(ended);
        let process = &ended.process;
        let reload = self.rollover.reload.as_ref();
        let boots = process.reason == SpawnReason::Reload
            && process.ready.is_none()
            && process.retired.is_none();
        let of_this = |reload: &Reload| boots && process.started >= reload.began;
        let runs_new = |reload: &Reload| reload.done.contains(&ended.slot);
        if reload.is_some_and(of_this) {
            self.fail_reload(&format!("{} before it was ready", ended.describe()));
        } else if ended.role == Role::Current
            && !ended.status.success()
            && reload.is_some_and(runs_new)
        {
            self.fail_reload(&format!("{} with the new program", ended.describe()));
        }
        self.tell_report();
    }

    /// Stops a reload. What runs goes on running.
    pub(crate) fn fail_reload(&mut self, why: &str) {
        if let Some(reload) = &self.rollover.reload {
            log::error!(
                "reload failed: {why}; {} replaced, {} still to replace keep the old program",
                counted(reload.done.len() as u32, "worker"),
                reload.pending.len()
            );
            self.fleet.board.count_reload(false);
            self.fleet.kill_replacements(SpawnReason::Reload);
            self.end_reload();
        }
    }

    fn end_reload(&mut self) {
        self.rollover.reload = None;
        self.tell_report();
        if std::mem::take(&mut self.rollover.again) {
            self.reload();
        }
    }

    fn tell_report(&mut self) {
        if let Some(report) = self.rollover.take_report() {
            log::info!("{report}");
        }
    }
}
