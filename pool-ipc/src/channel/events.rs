//! Sleeping until something happens at the other side of a channel.
//!
//! Invariant: a thread that listens, then looks, then sleeps on its ticket, does not sleep if what
//! it looks for came after it listened. It is a store–load pair: the one side marks that it sleeps
//! and looks at the ring, the other changes the ring and looks at the mark. Sleepers sign nothing:
//! one that dies leaves a mark that costs a later event a system call, and a wake-up that dies with
//! its thread is made up for by the end of a nap (`wait.rs`).

use crate::primitive::{AtomicU32, Ordering::SeqCst, wait_for, wake_up_to};
use std::time::Duration;

/// A thread may sleep; the other bits count.
const SLEEPERS: u32 = 1;
const EVENT: u32 = 2;

/// A count of events, to sleep on. Zero is a fresh one.
#[repr(transparent)]
pub struct EventCount(pub(super) AtomicU32);

/// The count at some moment.
#[derive(Clone, Copy, Debug)]
pub struct EventTicket(pub(super) u32);

impl EventCount {
    /// Announces that the caller may sleep from now on. It looks at the ring after this.
    pub fn listen(&self) -> EventTicket {
        EventTicket(self.0.fetch_or(SLEEPERS, SeqCst) | SLEEPERS)
    }

    /// Sleeps until the next event, if none came since, or until the time is over.
    pub fn sleep(&self, ticket: EventTicket, limit: Duration) {
        wait_for(&self.0, ticket.0, limit);
    }

    /// Whether a thread sleeps, or is about to.
    #[inline]
    pub fn has_sleepers(&self) -> bool {
        self.0.load(SeqCst) & SLEEPERS != 0
    }

    /// Wakes one thread that sleeps, after the ring has changed.
    #[inline]
    pub fn wake_one(&self) {
        if self.has_sleepers() {
            self.wake(1);
        }
    }

    /// Wakes all threads that sleep, after what they wait for has come; a load if there are none.
    pub fn wake_any_sleepers(&self) {
        if self.has_sleepers() {
            self.wake_all();
        }
    }

    /// Wakes all threads that sleep.
    pub fn wake_all(&self) {
        self.wake(u32::MAX);
    }

    #[cold]
    fn wake(&self, most: u32) {
        let now = self.0.fetch_add(EVENT, SeqCst).wrapping_add(EVENT);
        if wake_up_to(&self.0, most) < most {
            // No thread sleeps any more, so the mark is of those that are awake or dead, and is
            // taken away. A thread that set it again meanwhile and sleeps is woken.
            let clear = now.wrapping_add(EVENT) & !SLEEPERS;
            if self.0.compare_exchange(now, clear, SeqCst, SeqCst).is_ok() {
                wake_up_to(&self.0, u32::MAX);
            }
        }
    }
}
