//! Sleeping until an event of any kind has happened.
//!
//! Invariant: a thread that listens, then looks, then rests on its ticket, does not rest if an
//! event came after it listened. Events are counted and listeners sign nothing, so a listener
//! that dies leaves nothing but a mark that costs the next event a system call.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::backoff::{Backoff, Rest};
use crate::futex;

/// A thread may sleep; the other bits count.
const SLEEPERS: u32 = 1;
const EVENT: u32 = 2;

/// A count of events, to sleep on.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct EventCount(AtomicU32);

/// The count at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u32);

impl EventCount {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Announces that the caller may sleep from now on, and remembers the count. The caller looks
    /// at what it waits for after this.
    pub(super) fn listen(&self) -> Ticket {
        Ticket(self.0.fetch_or(SLEEPERS, SeqCst) | SLEEPERS)
    }

    /// Whether an event came after `ticket` was taken.
    pub(super) fn has_changed_since(&self, ticket: Ticket) -> bool {
        self.0.load(SeqCst) | SLEEPERS != ticket.0
    }

    /// Sleeps until the next event, if none came since.
    pub(super) fn rest(&self, ticket: Ticket, backoff: &mut Backoff) -> Rest {
        // An event that found no thread asleep took the mark away.
        self.listen();
        backoff.rest(&self.0, ticket.0)
    }

    /// Wakes all threads that sleep. What they wait for has happened before.
    pub(super) fn wake_all(&self) {
        let counted = |was: u32| Some(was.wrapping_add(EVENT) & !SLEEPERS);
        let was = self.0.fetch_update(SeqCst, SeqCst, counted).expect("it can always count");
        if was & SLEEPERS != 0 {
            futex::wake(&self.0, u32::MAX);
        }
    }

    /// Wakes as many as sleep, but not more than `most`; the others go on too once their nap is
    /// over.
    pub(super) fn wake(&self, most: u32) {
        if most == 0 {
            return;
        }
        let was = self.0.fetch_add(EVENT, SeqCst);
        if was & SLEEPERS != 0 && futex::wake(&self.0, most) < most {
            // No thread sleeps any more, so the mark is of those that are awake or dead, and is
            // taken away. A thread that set it again meanwhile and sleeps is woken.
            let now = was.wrapping_add(EVENT);
            let clear = now.wrapping_add(EVENT) & !SLEEPERS;
            if self.0.compare_exchange(now, clear, SeqCst, SeqCst).is_ok() {
                futex::wake(&self.0, u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    #[test]
    fn an_event_after_listening_is_not_missed() {
        let events = EventCount::new();
        let ticket = events.listen();
        assert!(!events.has_changed_since(ticket));
        events.wake(1);
        assert!(events.has_changed_since(ticket));
        assert_eq!(
            events.rest(ticket, &mut Backoff::at_most(Duration::from_secs(60))),
            Rest::Again
        );
        assert!(!events.has_changed_since(events.listen()));
    }

    #[test]
    fn a_sleeper_hears_it() {
        let events = EventCount::new();
        let ticket = events.listen();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !events.has_changed_since(ticket) {
                    events.rest(ticket, &mut Backoff::endless());
                }
            });
            events.wake(1);
        });
    }

    #[test]
    fn events_without_sleepers_take_the_mark_away() {
        let events = EventCount::new();
        for wake in [
            EventCount::wake_all,
            |events: &EventCount| events.wake(1),
            |events: &EventCount| events.wake(3),
        ] {
            events.listen();
            wake(&events);
            assert_eq!(events.0.load(SeqCst) & SLEEPERS, 0);
        }
    }

    #[test]
    fn one_who_does_not_wait_does_not_sleep() {
        let events = EventCount::new();
        assert_eq!(events.rest(events.listen(), &mut Backoff::none()), Rest::Over);
    }
}
