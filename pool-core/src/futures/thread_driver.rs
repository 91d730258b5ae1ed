//! What the driver thread of a queue for threads does while no thread waits for its futures: it
//! watches time limits and tokens, and takes jobs in the background further.
//!
//! Invariant: it marks that it sleeps on the wake counter before it does, with the flow locked, so
//! that every change of the flow wakes it.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    queue::QueueShared,
    threads::{Flow, TOKEN_SLEEP, ThreadQueue, left},
};
use crate::{
    cancel::{WakeCounter, sleep_for},
    driver::{Driven, Leave, Work},
    error::Error,
    mutex::lock,
};

/// How long the driver thread sleeps at most while there is something to do: during such a sleep it
/// keeps its queue alive.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

impl ThreadQueue {
    /// The wake counter, if one can be made. Only the driver thread calls this.
    fn wake_counter(&self) -> Option<&WakeCounter> {
        if self.wake_counter.get().is_none() {
            let _ = self.wake_counter.set(WakeCounter::new().ok()?);
        }
        self.wake_counter.get()
    }
}

impl Driven for ThreadQueue {
    fn demand(&self) -> (Work, u64) {
        let flow = lock(&self.flow);
        let QueueShared { background, watched, .. } = &*self.queue_shared;
        let jobs = background.map_count() > 0
            || (!background.is_empty() && watched.load(Ordering::SeqCst) > 0);
        let work = if self.calls.get().is_over() && background.is_empty() {
            Work::Over
        } else if jobs || flow.limited > 0 {
            Work::Now
        } else {
            Work::Nothing
        };
        (work, 0)
    }

    fn drive(&self, leave: &Leave<'_>) -> bool {
        let wake_ups = lock(&self.flow).wake_ups;
        let tokens = self.queue_shared.background.tokens();
        let wake_counter = if tokens.is_empty() { None } else { self.wake_counter() };
        let due = self.queue_shared.background.due().map(left);
        let token_check = (!tokens.is_empty() && wake_counter.is_none()).then_some(TOKEN_SLEEP);
        let mut flow = lock(&self.flow);
        let longest = flow.sleep_at_most().into_iter().chain(due).chain(token_check).min();
        let backlog = || self.queue_shared.background.has_backlog();
        let idle = |flow: &mut Flow| {
            flow.wake_ups == wake_ups && flow.news.is_empty() && !backlog() && !leave()
        };
        let longest = longest.map_or(LONGEST_SLEEP, |longest| longest.min(LONGEST_SLEEP));
        match wake_counter {
            None => {
                let until = Instant::now() + longest;
                while idle(&mut flow) && !left(until).is_zero() {
                    flow = self.sleep(flow, Some(left(until)));
                }
                drop(flow);
            }
            Some(wake_counter) if idle(&mut flow) => {
                flow.polls = true;
                drop(flow);
                sleep_for(wake_counter, &tokens, longest);
                let mut flow = lock(&self.flow);
                flow.polls = false;
                // This thread may run the user's code from now on: threads that wait have to look
                // at the tokens themselves.
                self.wake_sleepers(flow);
            }
            Some(_) => drop(flow),
        }
        self.advance();
        true
    }

    fn stand_by(&self, _: &Leave<'_>) {}

    fn pass(&self) {
        self.advance();
    }

    fn interrupt(&self) {
        self.wake_waiting();
    }

    fn no_driver(&self, why: Error) {
        self.queue_shared.background.end(&why);
        self.wake_waiting();
        self.queue_shared.budget.wake_submitters();
    }
}
