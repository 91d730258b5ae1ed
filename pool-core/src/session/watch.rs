//! What a caller sees of a zygote that somebody has stopped (SIGSTOP): it reports nothing, so a caller that needs a
//! report would wait for ever.
//!
//! Invariant: a stopped zygote is given up only when it has something to report and was stopped at each look for
//! [`PATIENCE`]; a process group that is stopped as a whole, parent and all, and goes on later is none.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::hub::{Hub, Session};
use crate::{birth, sys};

/// How long a zygote may be stopped while something is to be reported.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// The looks so far.
#[derive(Debug, Default)]
pub(super) struct ZygoteWatch {
    last: Option<Instant>,
    /// Looks in a row, each [`INTERVAL`] after the one before, at which it was stopped with something to report.
    found: u32,
}

impl Session {
    /// Looks after the zygote while a caller sleeps and nothing comes.
    pub(super) fn watch_zygote(&self, hub: &mut Hub) {
        let now = Instant::now();
        let since = hub.watch.last.map(|last| now - last);
        if since.is_some_and(|since| since < INTERVAL) {
            return;
        }
        hub.watch.last = Some(now);
        // A caller that has not looked for long has not waited, or was stopped itself.
        let goes_on = since.is_some_and(|since| since < 2 * INTERVAL);
        let stuck = birth::is_in_state(self.link.zygote(), b'T') && self.awaits_report(hub);
        hub.watch.found = if stuck { if goes_on { hub.watch.found + 1 } else { 1 } } else { 0 };
        if INTERVAL * hub.watch.found > PATIENCE {
            self.link.kill_zygote();
            self.broken(hub);
        }
    }

    /// Whether a worker has not been started yet, is dead and not reaped, or has an item that is overdue.
    fn awaits_report(&self, hub: &Hub) -> bool {
        let now = sys::monotonic_nanos();
        let dead = |pid| birth::is_in_state(Pid::from_raw(pid), b'Z');
        let late = |place, incarnation| {
            self.board.deadline(place, incarnation).is_some_and(|due| due < now)
        };
        hub.engine
            .workers()
            .any(|(place, incarnation, pid)| pid == 0 || late(place, incarnation) || dead(pid))
    }
}
