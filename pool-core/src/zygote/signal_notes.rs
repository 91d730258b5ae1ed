//! Which signals that end a program came to this process and to its workers.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::os::ENDING;

/// What this process and its workers were told.
#[derive(Default)]
pub(super) struct Endings {
    /// When this process got a copy of each signal last.
    pub(super) own: [Option<Instant>; ENDING.len()],
    /// Workers that are ended when their time comes and no copy has: incarnation, the signal's
    /// place, when they were heard.
    pub(super) waiting: Vec<(u32, usize, Instant)>,
}

impl Endings {
    /// How long to sleep, if nothing else says more than `idle`.
    pub(super) fn sleep_at_most(&self, idle: Option<Duration>) -> Option<Duration> {
        let Some((_, _, heard)) = self.waiting.first() else { return idle };
        let left = PATIENCE.saturating_sub(heard.elapsed());
        Some(idle.map_or(left, |idle| idle.min(left)))
    }
}

/// What a worker was told.
pub(super) struct Told {
    born: Instant,
    /// The copies of this process that the worker has told of as well.
    pub(super) shared: [Option<Instant>; ENDING.len()],
    /// The signal that it was ended by.
    pub(super) ended_by: Option<Signal>,
}

impl Default for Told {
    fn default() -> Self {
        Self { born: Instant::now(), shared: [None; ENDING.len()], ended_by: None }
    }
}

impl Told {
    /// Whether the signal that the worker tells of is the one of which this process got a copy at
    /// `own`. A worker that is busy or stopped may tell late, so a copy that it has not told of yet
    /// counts however old it is.
    pub(super) fn is_shared(&self, signal: usize, own: Option<Instant>, now: Instant) -> bool {
        own.is_some_and(|own| {
            let untold = own >= self.born && self.shared[signal] != Some(own);
            untold || now.saturating_duration_since(own) <= PATIENCE
        })
    }

    /// The wait status to be told of a worker that has ended with `status`.
    pub(super) fn status(&self, status: i32) -> i32 {
        match self.ended_by {
            // A death by a signal is the signal's number.
            Some(signal) if status == libc::SIGKILL => signal as i32,
            _ => status,
        }
    }
}

/// How long after a worker, or before it, this process may get its own copy.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_counts_once_for_each_worker_however_late_and_for_a_moment_more() {
        let born = Instant::now();
        let at = |millis| born + Duration::from_millis(millis);
        let mut told = Told { born, ..Told::default() };
        assert!(!told.is_shared(0, None, at(10)));
        assert!(told.is_shared(0, Some(at(10)), at(11)));
        assert!(told.is_shared(0, Some(at(10)), at(60_000)));
        told.shared[0] = Some(at(10));
        assert!(
            told.is_shared(0, Some(at(10)), at(50)),
            "two signals in a row, of which one was seen"
        );
        assert!(!told.is_shared(0, Some(at(10)), at(60_000)));
        assert!(told.is_shared(0, Some(at(59_990)), at(60_000)));
        // What came before the worker was born.
        let late = Told { born: at(1_000), ..Told::default() };
        assert!(!late.is_shared(0, Some(at(10)), at(1_200)));
    }

    #[test]
    fn who_was_ended_has_ended_by_the_signal() {
        let mut told = Told::default();
        assert_eq!(told.status(libc::SIGKILL), libc::SIGKILL);
        told.ended_by = Some(Signal::SIGTERM);
        assert_eq!(told.status(libc::SIGKILL), libc::SIGTERM);
        // It was faster.
        assert_eq!(told.status(3 << 8), 3 << 8);
    }
}
