//! What signals mean to the master.

use log::Level;
use nix::sys::signal::Signal;

use super::{Policy, Stage};

impl Policy<'_> {
    /// The master got a signal.
    pub(crate) fn signal(&mut self, signal: Signal) {
        let (slots, turn) = (&mut self.slots, &mut self.turn);
        match (signal, &self.stage) {
            (Signal::SIGCHLD, _) => {}
            (Signal::SIGUSR1 | Signal::SIGUSR2 | Signal::SIGWINCH, _) => {
                let text = format!("{signal}: {}", explain(signal));
                turn.log(Level::Info, "signal", text);
            }
            (Signal::SIGHUP | Signal::SIGTTIN | Signal::SIGTTOU, Stage::Starting) => {
                self.deferred.push(signal);
            }
            (Signal::SIGHUP | Signal::SIGTTIN | Signal::SIGTTOU, Stage::Serving) => {
                self.change(signal);
            }
            (Signal::SIGHUP | Signal::SIGTTIN | Signal::SIGTTOU, _) => {}
            _ => self.stage.signal(signal, slots, self.options, turn),
        }
    }

    pub(super) fn change(&mut self, signal: Signal) {
        let (slots, turn) = (&mut self.slots, &mut self.turn);
        match signal {
            Signal::SIGTTIN => slots.add(turn),
            Signal::SIGTTOU => slots.remove(turn),
            _ => self.rollover.ask(turn),
        }
    }
}

/// What the master says to signals that mean something to gunicorn, and nothing here.
fn explain(signal: Signal) -> &'static str {
    match signal {
        Signal::SIGUSR1 => "nothing to do, logs go to stderr and need no reopening",
        Signal::SIGUSR2 => {
            "ignored; send HUP to replace the workers with the program that is on disk now"
        }
        _ => "ignored; send TTOU to remove a worker, or TERM to stop",
    }
}
