//! How a thread waits for the other side: it spins, lets others run, and sleeps in naps.
//!
//! Invariant: a thread that waits looks at everything that may end its wait at least every
//! [`NAP_MAX`], whatever wakes it in between, and once before it gives up. So a wake-up may get
//! lost with a process that is killed, and such a process need not wake another.

use std::{
    hint,
    ops::ControlFlow,
    sync::OnceLock,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::events::EventCount;

/// How often the ring is looked at before the thread lets others run.
const SPINS: u32 = 100;
/// How often it lets others run before it sleeps.
const YIELDS: u32 = 16;
pub(super) const NAP_MIN: Duration = Duration::from_millis(1);
/// Bounds the time from a death to the moment when others go on, and costs a waiter less than 0.1 %
/// of a CPU.
pub(super) const NAP_MAX: Duration = Duration::from_millis(10);

/// How long an operation may wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// Not at all.
    Now,
    /// Until then; for ever if that is too far away to express.
    At(Option<Instant>),
}

impl Limit {
    /// Without an end.
    pub(super) const ENDLESS: Self = Self::At(None);

    pub(super) fn after(timeout: Duration) -> Self {
        Self::At(Instant::now().checked_add(timeout))
    }
}

/// How carefully a thread looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At memory only.
    Quick,
    /// Also whether processes have ended, which takes system calls.
    Thorough,
}

/// Calls `attempt` until it breaks, or the time is over: then `None`. Without a time to wait it
/// looks thoroughly only if that is due by `rarely`.
#[inline]
pub(super) fn wait_until<R>(
    events: &EventCount,
    limit: Limit,
    rarely: &Rarely,
    mut attempt: impl FnMut(Look) -> ControlFlow<R>,
) -> Option<R> {
    if let ControlFlow::Break(result) = attempt(Look::Quick) {
        return Some(result);
    }
    match limit {
        Limit::Now if rarely.is_due() => attempt(Look::Thorough).break_value(),
        Limit::Now => None,
        Limit::At(deadline) => wait(events, deadline, attempt),
    }
}

#[inline(never)]
fn wait<R>(
    events: &EventCount,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(Look) -> ControlFlow<R>,
) -> Option<R> {
    for round in 0..SPINS + YIELDS {
        if round < SPINS {
            hint::spin_loop()
        } else {
            thread::yield_now()
        }
        if let ControlFlow::Break(result) = attempt(Look::Quick) {
            return Some(result);
        }
    }
    // When the last thorough look was, whatever has woken the thread since.
    let mut looked = Instant::now();
    let (mut nap, mut look) = (NAP_MIN, Look::Quick);
    loop {
        let ticket = events.listen();
        if let ControlFlow::Break(result) = attempt(look) {
            return Some(result);
        }
        let now = Instant::now();
        if look == Look::Thorough {
            (looked, nap) = (now, (2 * nap).min(NAP_MAX));
        }
        let left = deadline.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
        if left.is_zero() {
            return attempt(Look::Thorough).break_value();
        }
        events.sleep(ticket, nap.saturating_sub(now - looked).min(left));
        look = if looked.elapsed() >= nap { Look::Thorough } else { Look::Quick };
    }
}

/// Lets thorough looks of threads that never wait pass once in a while only.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    /// When the last one was, in nanoseconds.
    last: AtomicU64,
}

impl Rarely {
    const PAUSE: u64 = 1_000_000;

    /// Whether it is time for another one.
    pub(super) fn is_due(&self) -> bool {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let now = BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + Self::PAUSE;
        // Relaxed, both: a hint that carries no data.
        let is_due = now.saturating_sub(self.last.load(Relaxed)) >= Self::PAUSE;
        if is_due {
            self.last.store(now, Relaxed);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitive::AtomicU32;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_thread_that_is_woken_all_the_time_looks_around() {
        let events = EventCount(AtomicU32::new(0));
        let mut thorough = 0;
        let looked_around = wait(&events, Instant::now().checked_add(LONG), |look| {
            thorough += u32::from(look == Look::Thorough);
            // Slow but steady traffic.
            thread::sleep(NAP_MIN);
            events.wake_all();
            if thorough == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(looked_around.is_some(), "it has looked {thorough} times");
    }
}
