//! What a caller sees of processes that somebody has stopped (SIGSTOP). A zygote reports nothing then, and a worker that was asked to
//! leave does not: who needs either would wait for ever.
//!
//! Invariant: nobody is given up who was not found stopped at each look for [`PATIENCE`], while it had something to do; a process
//! group that is stopped as a whole, parent and all, and goes on later is not. A worker's task, `worker_init` or `worker_exit` that
//! has begun may take as long as it takes: only a worker at which nothing of the user runs is killed.

use std::{
    mem,
    time::{Duration, Instant},
};

use nix::unistd::Pid;

use super::hub::{Hub, Session};
use crate::{birth, sys};

/// How long somebody may be stopped who has something to do.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(250);
/// Looks in a row after which that is over.
const LOOKS: u32 = (PATIENCE.as_millis() / INTERVAL.as_millis()) as u32 + 1;

/// The looks so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    last: Option<Instant>,
    /// Looks in a row, each [`INTERVAL`] after the one before, at which the zygote was stopped with something to report.
    found: u32,
    /// The same for workers, by their incarnations, that are to leave, or to run what is for them alone, and do nothing.
    leavers: Vec<(u32, u32)>,
}

impl Session {
    /// Looks after zygote and workers while a caller sleeps and nothing comes.
    pub(super) fn watch_stopped(&self, hub: &mut Hub) {
        let now = Instant::now();
        let since = hub.watch.last.map(|last| now - last);
        if since.is_some_and(|since| since < INTERVAL) {
            return;
        }
        hub.watch.last = Some(now);
        // A caller that has not looked for long has not waited, or was stopped itself.
        let goes_on = since.is_some_and(|since| since < 2 * INTERVAL);
        let count = |before: u32| if goes_on { before + 1 } else { 1 };
        let stuck = birth::is_in_state(self.link.zygote(), b'T') && self.awaits_report(hub);
        hub.watch.found = if stuck { count(hub.watch.found) } else { 0 };
        if hub.watch.found >= LOOKS {
            self.link.kill_zygote();
            return self.broken(hub);
        }
        let before = mem::take(&mut hub.watch.leavers);
        for incarnation in self.stopped_leavers(hub) {
            let looks = before.iter().find(|(of, _)| *of == incarnation);
            let looks = count(looks.map_or(0, |(_, looks)| *looks));
            if looks == LOOKS {
                // A zygote that is gone has no workers.
                let _ = self.link.kill(incarnation);
            }
            hub.watch.leavers.push((incarnation, looks));
        }
    }

    /// Whether a worker has not been started yet, is dead and not reaped, is to be killed, or has an item that is overdue.
    fn awaits_report(&self, hub: &Hub) -> bool {
        let now = sys::monotonic_nanos();
        let dead = |pid| birth::is_in_state(Pid::from_raw(pid), b'Z');
        let late = |place, incarnation| {
            self.board.deadline(place, incarnation).is_some_and(|due| due < now)
        };
        let waits = |(place, incarnation, pid)| pid == 0 || late(place, incarnation) || dead(pid);
        hub.engine.workers().any(waits)
            || hub.watch.leavers.iter().any(|(_, looks)| *looks >= LOOKS)
    }

    /// The stopped workers that were asked to leave, or are waited for by a chunk that no other may run; that hold nothing that anybody
    /// waits for, and have not begun their exit.
    fn stopped_leavers(&self, hub: &Hub) -> Vec<u32> {
        let all = !hub.state.staffs();
        let asked = |place, incarnation| {
            all || incarnation < hub.engine.min_incarnation() || hub.engine.has_published_for(place)
        };
        let mut leavers: Vec<_> = hub
            .engine
            .workers()
            .filter(|(place, incarnation, _)| asked(*place as u32, *incarnation))
            .collect();
        if leavers.is_empty() {
            return Vec::new();
        }
        let busy = self.at_a_chunk(hub);
        leavers.retain(|&(place, incarnation, pid)| {
            let pid = self.pid_of(place, incarnation, pid);
            let there = self.board.occupant(place).1 == incarnation;
            !busy.contains(&incarnation)
                // Calls that still need it are over once all are asked.
                && (all || !hub.engine.has_in_hand(incarnation))
                && (!there || self.board.stage(place) == 0)
                && pid > 0
                && birth::is_in_state(Pid::from_raw(pid), b'T')
        });
        leavers.into_iter().map(|(_, incarnation, _)| incarnation).collect()
    }
}
