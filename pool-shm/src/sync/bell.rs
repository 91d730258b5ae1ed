//! Sleeping until an event of any kind has happened.
//!
//! Invariant: a thread that listens, then looks, then rests on its ticket, does not rest if the
//! bell rang after it listened. Rings are counted and listeners sign nothing, so a listener that
//! dies leaves nothing but a mark that costs the next ring a system call.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::patience::{Patience, Rest};
use crate::futex;

/// A thread may sleep; the other bits count.
const SLEEPERS: u32 = 1;
const RING: u32 = 2;

/// A count of rings, to sleep on.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Bell(AtomicU32);

/// The count at some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u32);

impl Bell {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Announces that the caller may sleep from now on, and remembers the count. The caller looks
    /// at what it waits for after this.
    pub(super) fn listen(&self) -> Ticket {
        Ticket(self.0.fetch_or(SLEEPERS, SeqCst) | SLEEPERS)
    }

    /// Whether it rang after `ticket` was taken.
    pub(super) fn rang_since(&self, ticket: Ticket) -> bool {
        self.0.load(SeqCst) | SLEEPERS != ticket.0
    }

    /// Sleeps until the next ring, if it did not ring since.
    pub(super) fn rest(&self, ticket: Ticket, patience: &mut Patience) -> Rest {
        // A ring that found no thread asleep took the mark away.
        self.listen();
        patience.rest(&self.0, ticket.0)
    }

    /// Wakes all threads that sleep. What they wait for has happened before.
    pub(super) fn ring(&self) {
        let rung = |was: u32| Some(was.wrapping_add(RING) & !SLEEPERS);
        let was = self.0.fetch_update(SeqCst, SeqCst, rung).expect("it can always ring");
        if was & SLEEPERS != 0 {
            futex::wake(&self.0, u32::MAX);
        }
    }

    /// Wakes as many as sleep, but not more than `most`; the others go on too once their nap is
    /// over.
    pub(super) fn ring_for(&self, most: u32) {
        if most == 0 {
            return;
        }
        let was = self.0.fetch_add(RING, SeqCst);
        if was & SLEEPERS != 0 && futex::wake(&self.0, most) < most {
            // No thread sleeps any more, so the mark is of those that are awake or dead, and is
            // taken away. A thread that set it again meanwhile and sleeps is woken.
            let now = was.wrapping_add(RING);
            let clear = now.wrapping_add(RING) & !SLEEPERS;
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
    fn a_ring_after_listening_is_not_missed() {
        let bell = Bell::new();
        let ticket = bell.listen();
        assert!(!bell.rang_since(ticket));
        bell.ring_for(1);
        assert!(bell.rang_since(ticket));
        assert_eq!(bell.rest(ticket, &mut Patience::at_most(Duration::from_secs(60))), Rest::Again);
        assert!(!bell.rang_since(bell.listen()));
    }

    #[test]
    fn a_sleeper_hears_it() {
        let bell = Bell::new();
        let ticket = bell.listen();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !bell.rang_since(ticket) {
                    bell.rest(ticket, &mut Patience::endless());
                }
            });
            bell.ring_for(1);
        });
    }

    #[test]
    fn rings_for_nobody_take_the_mark_away() {
        let bell = Bell::new();
        for ring in [Bell::ring, |bell: &Bell| bell.ring_for(1), |bell: &Bell| bell.ring_for(3)] {
            bell.listen();
            ring(&bell);
            assert_eq!(bell.0.load(SeqCst) & SLEEPERS, 0);
        }
    }

    #[test]
    fn one_who_does_not_wait_does_not_sleep() {
        let bell = Bell::new();
        assert_eq!(bell.rest(bell.listen(), &mut Patience::none()), Rest::Over);
    }
}
