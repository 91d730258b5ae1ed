//! Counts the calls that have claimed a set of threads and are not among its jobs yet.
//!
//! Invariant: `end` follows `begin`, and a waiting thread is notified of the last end. A claim
//! lasts microseconds; the user's code does not run meanwhile.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use crate::mutex::lock;

#[derive(Debug, Default)]
pub(super) struct Claims {
    count: AtomicUsize,
    /// Whether a thread waits until there are no claims.
    awaited: AtomicBool,
    waiting: Mutex<()>,
    none: Condvar,
}

impl Claims {
    /// Counts a claim.
    pub(super) fn begin(&self) {
        // Relaxed: the caller holds a lock that a thread takes before it looks at the count.
        self.count.fetch_add(1, Relaxed);
    }

    /// Ends a claim: the call is among the jobs, or has ended.
    pub(super) fn end(&self) {
        // SeqCst, a store–load pair with `wait`: `wait` sees this end, or this sees `awaited`.
        if self.count.fetch_sub(1, SeqCst) == 1 && self.awaited.load(SeqCst) {
            drop(lock(&self.waiting));
            self.none.notify_all();
        }
    }

    /// Whether there are any. The effects of ended claims are visible then.
    pub(super) fn any(&self) -> bool {
        self.count.load(SeqCst) > 0
    }

    /// Waits until there are none, `limit` at most: a process that was forked meanwhile has no
    /// thread that ends them.
    pub(super) fn wait(&self, limit: Duration) {
        self.awaited.store(true, SeqCst);
        let waiting = lock(&self.waiting);
        let waited = self.none.wait_timeout_while(waiting, limit, |()| self.any());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Instant};

    use super::*;

    #[test]
    fn the_last_end_is_told() {
        const NEVER: Duration = Duration::from_secs(600);
        let claims = Claims::default();
        claims.wait(NEVER);
        let begun = Instant::now();
        for _ in 0..200 {
            claims.begin();
            claims.begin();
            thread::scope(|scope| {
                let (send, waits) = mpsc::channel();
                let claims = &claims;
                scope.spawn(move || {
                    send.send(()).unwrap();
                    claims.wait(NEVER);
                    assert!(!claims.any());
                });
                waits.recv().unwrap();
                claims.end();
                claims.end();
            });
        }
        assert!(begun.elapsed() < NEVER);
    }

    #[test]
    fn a_claim_that_does_not_end_is_not_waited_for_without_limit() {
        let claims = Claims::default();
        claims.begin();
        claims.wait(Duration::from_millis(1));
        assert!(claims.any());
    }
}
