//! How long a waiter sleeps at once, and when it looks whether those it waits for still live.
//!
//! Invariant: a waiter looks at least every [`NAP_MAX`], whatever wakes it in between, and once
//! before it gives up. So a wake-up may get lost, with its sender or its receiver, and a process
//! that dies need not wake another.

use std::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{futex, sys};

/// The first nap: short, since most deaths of holders are seen by threads that wait already.
const NAP_MIN: Duration = Duration::from_millis(1);
/// The longest nap. It bounds the time from a death to the next holder, and costs a waiter about
/// 0.2 % of a CPU.
const NAP_MAX: Duration = Duration::from_millis(5);
/// How often a word is read before its reader sleeps: about as long as a short critical section
/// takes.
const SPINS: u32 = 100;

/// How long a thread waits, in all and at once.
#[derive(Debug)]
pub(super) struct Backoff {
    /// `None` for ever.
    deadline: Option<Instant>,
    nap: Duration,
    /// When the current nap is over.
    check_at: Option<Instant>,
    spins: u32,
}

/// The next step after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Something changed: try again.
    Again,
    /// Check whether the holders still live, then try again.
    CheckHolders,
    /// Check, try for the last time, and give up.
    Over,
}

impl Backoff {
    /// Waits without a limit.
    pub(super) const fn endless() -> Self {
        Self { deadline: None, nap: NAP_MIN, check_at: None, spins: SPINS }
    }

    /// Tries once and does not wait.
    pub(super) fn none() -> Self {
        Self { spins: 0, ..Self::at_most(Duration::ZERO) }
    }

    /// Waits for `limit`; without one if the end is too far away to express.
    pub(super) fn at_most(limit: Duration) -> Self {
        Self { deadline: Instant::now().checked_add(limit), ..Self::endless() }
    }

    /// Whether it is worth reading a busy word once more before sleeping. Pauses the CPU a little.
    pub(super) fn spin(&mut self) -> bool {
        let more = self.spins > 0;
        if more {
            self.spins -= 1;
            hint::spin_loop();
        }
        more
    }

    /// Whether nothing but a last try is left.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Sleeps while `word` holds `expected`, until it is woken or a nap is over.
    pub(super) fn rest(&mut self, word: &AtomicU32, expected: u32) -> Rest {
        let now = Instant::now();
        let nap = self.nap;
        let check_at = *self.check_at.get_or_insert_with(|| now + nap);
        let end = self.deadline.map_or(check_at, |deadline| deadline.min(check_at));
        if let Some(left) = end.checked_duration_since(now).filter(|left| !left.is_zero()) {
            // Whatever ended the sleep, the clock says what is next: signals may come more often
            // than naps end.
            futex::wait(word, expected, Some(left));
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            Rest::Over
        } else if check_at <= now {
            self.check_at = None;
            self.nap = (2 * self.nap).min(NAP_MAX);
            Rest::CheckHolders
        } else {
            Rest::Again
        }
    }
}

/// Shares the looking among many waiters: looking at a table of holders costs some microseconds for
/// each of them.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Watch {
    /// When a thread last looked: monotonic, in nanoseconds.
    checked_at: AtomicU64,
}

impl Watch {
    /// A watch at which no thread has looked yet.
    pub(super) const fn new() -> Self {
        Self { checked_at: AtomicU64::new(0) }
    }

    /// Called by a thread that would wait; returns whether it is to look: not if another thread did
    /// during the last half of a longest nap.
    ///
    /// Threads ask even before their nap is over. Where things are handed round fast no thread naps
    /// for long, and without that what the dead hold would be missed for ever.
    pub(super) fn claim_check(&self) -> bool {
        let now = sys::monotonic_ns();
        // Relaxed: a hint that carries no data; a thread that lost the race may as well look, but
        // need not.
        let last = self.checked_at.load(Ordering::Relaxed);
        let limit = NAP_MAX.as_nanos() as u64 / 2;
        let fresh = now.checked_sub(last).is_some_and(|age| age < limit);
        !fresh
            && self
                .checked_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
