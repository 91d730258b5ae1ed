//! A number of permits, each a word that is free or names its holder.
//!
//! ```text
//!  ABSENT ── add ──▶ FREE ── acquire ──▶ process ── release, or it died ──▶ FREE
//!    ▲                                      │
//!    └─────────────── consume ──────────────┘
//! ```
//!
//! Invariant: every arrow is one atomic step on the word of one permit. There is no count that
//! could disagree with the permits.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

use super::{
    backoff::{Backoff, Rest, Watch},
    error::LockError,
    event_count::EventCount,
    owner::{Me, Owner, flag},
    stat::Life,
    table_scan::TableScan,
};

const FREE: u64 = 0;
/// There is no such permit at present.
const ABSENT: u64 = flag(0);

/// The part of a semaphore that lies in shared memory, before the permits.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawSemaphore {
    /// The namespaces in which holders' names mean something. Never changes.
    namespace: AtomicU64,
    /// How many words of permits there are. Never changes.
    limit: AtomicU64,
    /// When a thread last looked for dead holders.
    watch: Watch,
    /// How many permits came back from the dead.
    reclaimed: AtomicU64,
    /// Counts each permit that becomes free.
    freed: EventCount,
    _unused: AtomicU32,
}

const _: () = assert!(size_of::<RawSemaphore>() == 40);

/// Head and table of a lock, in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct SemaphoreParts<'a> {
    pub(super) head: &'a RawSemaphore,
    pub(super) permits: &'a [AtomicU64],
}

impl RawSemaphore {
    pub(super) fn new(me: &Me, limit: usize) -> Self {
        Self {
            namespace: AtomicU64::new(me.namespace),
            limit: AtomicU64::new(limit as u64),
            watch: Watch::new(),
            reclaimed: AtomicU64::new(0),
            freed: EventCount::new(),
            _unused: AtomicU32::new(0),
        }
    }

    /// The namespaces in which holders' names mean something.
    pub(super) fn namespace(&self) -> u64 {
        self.namespace.load(SeqCst)
    }

    /// How many words of permits there are.
    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit.load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// How many permits came back from the dead.
    pub(super) fn reclaimed(&self) -> u64 {
        self.reclaimed.load(SeqCst)
    }
}

impl SemaphoreParts<'_> {
    /// Takes all permits but the first `permits` away, of a fresh semaphore.
    pub(super) fn begin_with(self, permits: usize) {
        self.permits[permits..].iter().for_each(|permit| permit.store(ABSENT, SeqCst));
    }

    /// Takes a permit for the calling process; returns which, and the number of the process.
    pub(super) fn acquire(
        self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<(usize, NonZeroU64), LockError> {
        let me = Me::now()?;
        if me.namespace != self.head.namespace() {
            return Err(LockError::ForeignNamespace);
        }
        let permit = match self.take(&me) {
            Some(permit) => permit,
            None => self.wait(&me, backoff())?,
        };
        Ok((permit, me.number))
    }

    /// Gives a permit back. This process holds it.
    pub(super) fn release(self, permit: usize) {
        self.permits[permit].store(FREE, SeqCst);
        self.head.freed.wake(1);
    }

    /// Gives back all permits of the process, which ends.
    pub(super) fn release_all(self, me: &Me) {
        let held = |permit: &&AtomicU64| step(permit, me.process.word(), FREE);
        let released = self.permits.iter().filter(held).count();
        if released > 0 {
            self.head.freed.wake(u32::try_from(released).unwrap_or(u32::MAX));
        }
    }

    /// Makes a permit vanish. This process holds it.
    pub(super) fn consume(self, permit: usize) {
        self.permits[permit].store(ABSENT, SeqCst);
    }

    /// Makes one more permit.
    pub(super) fn add(self) -> Result<(), LockError> {
        let absent = self.permits.iter().any(|permit| step(permit, ABSENT, FREE));
        if !absent {
            return Err(LockError::TooManyPermits { limit: self.permits.len() });
        }
        self.head.freed.wake(1);
        Ok(())
    }

    /// How many permits are free.
    pub(super) fn available(self) -> usize {
        self.permits.iter().filter(|permit| permit.load(SeqCst) == FREE).count()
    }

    fn take(self, me: &Me) -> Option<usize> {
        let first = me.thread.place_in(self.permits.len());
        let (before, from) = self.permits.split_at(first);
        let mut permits = from.iter().zip(first..).chain(before.iter().zip(0..));
        permits.find(|(permit, _)| step(permit, FREE, me.process.word())).map(|(_, index)| index)
    }

    #[cold]
    fn wait(self, me: &Me, mut backoff: Backoff) -> Result<usize, LockError> {
        if self.head.watch.claim_check() {
            self.reclaim(me.process);
        }
        loop {
            let ticket = self.head.freed.listen();
            if let Some(permit) = self.take(me) {
                return Ok(permit);
            }
            match self.head.freed.rest(ticket, &mut backoff) {
                Rest::Again => {}
                Rest::CheckHolders => {
                    if self.head.watch.claim_check() {
                        self.reclaim(me.process);
                    }
                }
                Rest::Over => {
                    self.reclaim(me.process);
                    return self.take(me).ok_or(LockError::TimedOut);
                }
            }
        }
    }

    /// Frees the permits of dead processes.
    fn reclaim(self, me: Owner) {
        let mut table_scan = TableScan::taken_by(me, Life::Process);
        for permit in self.permits {
            let seen = permit.load(SeqCst);
            // The permit is compared with what it was before the look: no other process loses one.
            if table_scan.check_dead(Owner::of(seen)) && step(permit, seen, FREE) {
                self.head.reclaimed.fetch_add(1, SeqCst);
                self.head.freed.wake(1);
            }
        }
    }
}

fn step(permit: &AtomicU64, from: u64, to: u64) -> bool {
    // A load first: most permits passed over are in another state, and need not be written to.
    permit.load(SeqCst) == from && permit.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
}
