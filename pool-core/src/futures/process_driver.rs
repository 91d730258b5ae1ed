//! What the driver thread of a queue for processes does while no thread waits for its futures.
//!
//! Invariant: the thread sleeps only after it has counted itself as waiting, so that it sees each
//! pass of another thread and each answer that one leaves behind.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{processes::ProcessQueue, queue::QueueShared};
use crate::{
    driver::{Driven, Leave, Work},
    error::Error,
    job::ItemAllocator,
    mutex::lock,
};

/// Time between two tries to send a call for which there was no room, while others are under way.
const STARVES_FOR: Duration = Duration::from_millis(50);

impl ProcessQueue {
    /// When there is work although nothing arrives: a call or a job had no room.
    pub(super) fn due(&self) -> Option<Instant> {
        let in_flight = lock(&self.in_flight);
        let starves = in_flight.admits_first();
        let wait = if in_flight.under_way() == 0 { Duration::ZERO } else { STARVES_FOR };
        drop(in_flight);
        let due = starves.then(|| Instant::now() + wait);
        due.into_iter().chain(self.queue_shared.background.due()).min()
    }

    /// Has the driver thread sleep in `sleep` until something happens for this queue, or `leave`
    /// returns true. `sleep` gets the latest time at which to return, and a function that tells
    /// whether to return now.
    fn while_away<R>(
        &self,
        leave: &Leave<'_>,
        sleep: impl FnOnce(Option<Instant>, &dyn Fn() -> bool) -> R,
    ) -> R {
        let before = self.passes.load(Ordering::SeqCst);
        self.queue_shared.waiting.fetch_add(1, Ordering::SeqCst);
        let over = || leave() || self.has_backlog() || self.passes.load(Ordering::SeqCst) != before;
        let slept = sleep(self.due(), &over);
        self.queue_shared.waiting.fetch_sub(1, Ordering::SeqCst);
        slept
    }
}

impl Driven for ProcessQueue {
    fn demand(&self) -> (Work, u64) {
        let in_flight = lock(&self.in_flight);
        let QueueShared { background, watched, .. } = &*self.queue_shared;
        let (calls, maps) = (in_flight.outstanding(), background.map_count());
        let work = if calls == 0 && in_flight.closed && background.is_empty() {
            Work::Over
        } else if !in_flight.waiting.is_empty() || maps > 0 || watched.load(Ordering::SeqCst) > 0 {
            Work::Now
        } else if calls > 0 {
            Work::Later
        } else {
            Work::Nothing
        };
        (work, self.passes.load(Ordering::SeqCst))
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let ItemAllocator { session, job, .. } = &self.allocator;
        let drove = self.while_away(leave, |due, over| session.drive_if_vacant(*job, due, over));
        if drove {
            self.work(false, true);
        }
        drove
    }

    fn stand_by(&self, leave: &Leave<'_>) {
        let ItemAllocator { session, job, .. } = &self.allocator;
        self.while_away(leave, |due, over| session.stand_by(*job, due, over));
    }

    fn pass(&self) {
        self.work(true, true);
    }

    fn interrupt(&self) {
        self.allocator.session.notify();
    }

    fn no_driver(&self, why: Error) {
        if self.queue_shared.watched.load(Ordering::SeqCst) > 0 {
            self.give_up(&why);
        }
        self.queue_shared.budget.wake_submitters();
    }
}
