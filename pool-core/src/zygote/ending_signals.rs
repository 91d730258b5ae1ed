//! Workers that were told to end (SIGTERM and its like): alone, or with the whole program.
//!
//! Invariant: a signal that this process got as well ends no worker, since the parent decides then.
//! The zygote kills a worker that alone was told to end, and reports it as ended by that signal. A
//! supervisor that signals one process after another reaches this one within
//! [`SHARED_SIGNAL_WINDOW`].

use std::time::Instant;

use nix::sys::signal::{Signal, kill};

use super::{
    signal_notes::SHARED_SIGNAL_WINDOW,
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
    pub(super) fn handle_ending_signals(&mut self) {
        let reported = self.segment_table.take_ending_signals();
        if reported.is_empty() && self.endings.waiting.is_empty() {
            return;
        }
        // A signal that came before a worker's last word is read after it at the latest.
        self.read_signals();
        let now = Instant::now();
        let waiting = reported.into_iter().map(|(owner, signal)| (owner, signal, now));
        self.endings.waiting.extend(waiting);
        let own = self.endings.own;
        let workers = &mut self.workers;
        self.endings.waiting.retain(|(incarnation, signal, received_at)| {
            let Some(worker) = workers.iter_mut().find(|w| w.incarnation == *incarnation) else {
                return false; // it has ended meanwhile
            };
            let own = own[*signal];
            if worker.signals.is_shared(*signal, own, now) {
                worker.signals.shared[*signal] = own;
                return false;
            }
            if now.saturating_duration_since(*received_at) < SHARED_SIGNAL_WINDOW {
                return true;
            }
            end(worker, ENDING[*signal]);
            false
        });
    }
}

/// Ends a worker as if by `signal`.
fn end(worker: &mut Worker, signal: Signal) {
    worker.signals.ended_by = Some(signal);
    // It was not reaped, so the number is its own. The worker would handle the signal itself.
    let _ = kill(worker.pid, Signal::SIGKILL);
}
