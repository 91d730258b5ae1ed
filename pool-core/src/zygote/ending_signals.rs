//! Workers that were told to end (SIGTERM and its like): alone, or with the whole program.
//!
//! Invariant: a signal that this process got as well ends no worker, since the parent decides then.
//! The zygote kills a worker that alone was told to end, and reports it as ended by that signal. A
//! supervisor that signals one process after another reaches this one within [`PATIENCE`].

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use pool_ipc::board::Incarnation;

use super::{
    signal_notes::PATIENCE,
    state::{Worker, Zygote},
};
use crate::os::ENDING;

impl Zygote {
    /// Notes the signals that this process got. (SIGCHLD needs no note: `reap` sees which children
    /// have ended.)
    pub(super) fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let signal = signal.ssi_signo.cast_signed();
            if let Some(at) = ENDING.iter().position(|ending| *ending as i32 == signal) {
                self.endings.own[at] = Some(Instant::now());
            }
        }
    }

    /// Ends the workers that alone were told to end.
    pub(super) fn end_told(&mut self) {
        let told = self.exchange.take_told_to_end();
        if told.is_empty() && self.endings.waiting.is_empty() {
            return;
        }
        // A signal that came before a worker's last word is read after it at the latest.
        self.read_signals();
        let now = Instant::now();
        self.endings
            .waiting
            .extend(told.into_iter().map(|(owner, signal)| (Incarnation::new(owner), signal, now)));
        let own = self.endings.own;
        let workers = &mut self.workers;
        self.endings.waiting.retain(|(incarnation, signal, heard)| {
            let Some(worker) = workers.iter_mut().find(|w| w.incarnation == *incarnation) else {
                return false; // it has ended meanwhile
            };
            let own = own[*signal];
            if worker.told.is_shared(*signal, own, now) {
                worker.told.shared[*signal] = own;
                return false;
            }
            if now.saturating_duration_since(*heard) < PATIENCE {
                return true;
            }
            end(worker, ENDING[*signal]);
            false
        });
    }
}

/// Ends a worker as if by `signal`.
fn end(worker: &mut Worker, signal: Signal) {
    worker.told.ended_by = Some(signal);
    // It was not reaped, so the number is its own. The worker would handle the signal itself.
    let _ = kill(worker.pid, Signal::SIGKILL);
}
