//! Which signals that end a program came to this process and to its workers.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pool_ipc::board::Incarnation;

use crate::os::ENDING;

/// The signals to end that this process and its workers got.
#[derive(Default)]
pub(super) struct Endings {
    /// When this process got each signal itself last.
    pub(super) own: [Option<Instant>; ENDING.len()],
    /// Workers that are ended after [`SHARED_SIGNAL_WINDOW`] if this process does not get the
    /// signal, too: incarnation, the signal's index, when the worker's message came.
    pub(super) waiting: Vec<(Incarnation, usize, Instant)>,
}

impl Endings {
    /// How long the zygote may sleep: until the first of them is due, at most for `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        let Some((_, _, received_at)) = self.waiting.first() else { return idle };
        let left = SHARED_SIGNAL_WINDOW.saturating_sub(received_at.elapsed());
        Some(idle.map_or(left, |idle| idle.min(left)))
    }
}

/// The signals to end that a worker got.
pub(super) struct WorkerSignals {
    born: Instant,
    /// When this process got each signal that the worker has reported as well.
    pub(super) shared: [Option<Instant>; ENDING.len()],
    /// The signal for which the zygote has killed it.
    pub(super) ended_by: Option<Signal>,
}

impl Default for WorkerSignals {
    fn default() -> Self {
        Self { born: Instant::now(), shared: [None; ENDING.len()], ended_by: None }
    }
}

impl WorkerSignals {
    /// Whether the signal that the worker reports is the one that this process got, too, at `own`.
    /// A worker that is busy or stopped may report late, so a signal that it has not reported yet
    /// counts however old it is.
    pub(super) fn is_shared(&self, signal: usize, own: Option<Instant>, now: Instant) -> bool {
        own.is_some_and(|own| {
            let unreported = own >= self.born && self.shared[signal] != Some(own);
            unreported || now.saturating_duration_since(own) <= SHARED_SIGNAL_WINDOW
        })
    }

    /// The wait status to report for a worker that has ended with `status`.
    pub(super) fn status(&self, status: i32) -> i32 {
        match self.ended_by {
            // The wait status of a death by a signal is the signal's number.
            Some(signal) if status == libc::SIGKILL => signal as i32,
            _ => status,
        }
    }
}

/// How long after a worker, or before it, this process may get a signal that both get.
pub(super) const SHARED_SIGNAL_WINDOW: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_once_for_each_worker_however_late_and_for_a_moment_more() {
        let born = Instant::now();
        let at = |millis| born + Duration::from_millis(millis);
        let mut signals = WorkerSignals { born, ..WorkerSignals::default() };
        assert!(!signals.is_shared(0, None, at(10)));
        assert!(signals.is_shared(0, Some(at(10)), at(11)));
        assert!(signals.is_shared(0, Some(at(10)), at(60_000)));
        signals.shared[0] = Some(at(10));
        assert!(
            signals.is_shared(0, Some(at(10)), at(50)),
            "two signals in a row, of which one was seen"
        );
        assert!(!signals.is_shared(0, Some(at(10)), at(60_000)));
        assert!(signals.is_shared(0, Some(at(59_990)), at(60_000)));
        // A signal that came before the worker was started.
        let late = WorkerSignals { born: at(1_000), ..WorkerSignals::default() };
        assert!(!late.is_shared(0, Some(at(10)), at(1_200)));
    }

    #[test]
    fn who_was_ended_has_ended_by_the_signal() {
        let mut signals = WorkerSignals::default();
        assert_eq!(signals.status(libc::SIGKILL), libc::SIGKILL);
        signals.ended_by = Some(Signal::SIGTERM);
        assert_eq!(signals.status(libc::SIGKILL), libc::SIGTERM);
        // It has ended by itself before.
        assert_eq!(signals.status(3 << 8), 3 << 8);
    }
}
