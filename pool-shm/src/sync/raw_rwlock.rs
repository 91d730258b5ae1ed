//! Several readers or one writer.
//!
//! A writer signs the word and waits until no reader is left; a reader signs a place in the table,
//! then looks whether a writer has signed, and if so leaves again. One of the two sees the other:
//! each stores, then loads (SeqCst, all of them).
//!
//! ```text
//!            ┌───────────────────────── unlock ─────────────────────────┐
//!            ▼                                                          │
//!          FREE ── write ──▶ writer, PENDING ── no reader left ──▶ writer ── died, not repaired ──▶ UNRECOVERABLE
//! ```
//!
//! Invariant: every arrow, and taking or leaving a place, is one atomic step. A writer that dies
//! while PENDING has changed nothing, and no thread is told of it. A writer, or a reader, that ends
//! while references to the data live on says so: no thread gets the lock after it, or none to
//! write. Places of dead readers are cleared by the writer that waits for them, or by a reader that
//! finds none free.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use super::{
    backoff::{Backoff, Rest},
    error::LockError,
    event_count::EventCount,
    owner::{Me, Owner, flag, futex_half, half},
    raw_mutex::Taken,
    stat::{Life, is_dead},
};
use crate::futex;

const FREE: u64 = 0;
/// A thread may sleep on the word.
const WAITERS: u64 = flag(0);
/// No thread gets the lock any more.
const UNRECOVERABLE: u64 = flag(1);
/// The writer still waits for readers.
const PENDING: u64 = flag(2);

/// In a place of the table: a reader has ended, but others read by a reference that it left them,
/// for ever.
const LEFT: u64 = flag(3);

/// The part of a lock for readers and writers that lies in shared memory, before the table of
/// readers.
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawRwLock {
    word: AtomicU64,
    /// The namespaces in which holders' names mean something. Never changes.
    namespace: AtomicU64,
    /// Places in the table. Never changes.
    places: AtomicU64,
    /// How many places of dead readers were cleared.
    reclaimed: AtomicU64,
    /// Bit `n % 64` is set before place `n` is signed for the first time, and stays: a writer need
    /// not look at the others.
    used: AtomicU64,
    /// Counts readers that left while a writer was there.
    left: EventCount,
    _unused: AtomicU32,
}

const _: () = assert!(size_of::<RawRwLock>() == 48);

/// Head and table of a lock, in this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct RwLockParts<'a> {
    pub(super) head: &'a RawRwLock,
    pub(super) readers: &'a [AtomicU64],
}

/// How a reader was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// To a place among the readers.
    Reader(usize),
    /// To the lock of a writer that died, to repair the data.
    HeirOfWriter,
}

impl RawRwLock {
    pub(super) fn new(me: &Me, places: usize) -> Self {
        Self {
            word: AtomicU64::new(FREE),
            namespace: AtomicU64::new(me.namespace),
            places: AtomicU64::new(places as u64),
            reclaimed: AtomicU64::new(0),
            used: AtomicU64::new(0),
            left: EventCount::new(),
            _unused: AtomicU32::new(0),
        }
    }

    /// The namespaces in which holders' names mean something.
    pub(super) fn namespace(&self) -> u64 {
        self.namespace.load(SeqCst)
    }

    /// Places in the table.
    pub(super) fn places(&self) -> usize {
        usize::try_from(self.places.load(SeqCst)).unwrap_or(usize::MAX)
    }

    /// How many readers died while they held the lock, as far as another thread had to notice.
    pub(super) fn reclaimed(&self) -> u64 {
        self.reclaimed.load(SeqCst)
    }
}

impl RwLockParts<'_> {
    /// Takes the lock for the calling thread, to read.
    pub(super) fn read(
        self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<(Admitted, Owner), LockError> {
        let me = self.me()?;
        if self.head.word.load(SeqCst) == FREE
            && let Some(place) = self.enter(me)
        {
            return Ok((Admitted::Reader(place), me));
        }
        Ok((self.wait_to_read(me, backoff())?, me))
    }

    /// Takes the lock for the calling thread, to write.
    pub(super) fn write(
        self,
        backoff: impl FnOnce() -> Backoff,
    ) -> Result<(Taken, Owner), LockError> {
        let me = self.me()?;
        if self.step(FREE, me.word() | PENDING) && self.readers_are_gone() {
            self.head.word.fetch_and(!PENDING, SeqCst);
            return Ok((Taken::Given, me));
        }
        let how = self.wait_to_write(me, backoff());
        Ok((how?, me))
    }

    /// Gives the place of a reader back.
    pub(super) fn leave(self, place: usize) {
        self.readers[place].store(FREE, SeqCst);
        if self.head.word.load(SeqCst) != FREE {
            self.head.left.wake_all();
        }
    }

    /// Gives back all places of the calling thread, whose process ends and runs nothing that reads.
    pub(super) fn leave_all(self, me: &Me) {
        let is_its = |place: &AtomicU64| place.load(SeqCst) == me.thread.word();
        for place in 0..self.readers.len() {
            if is_its(&self.readers[place]) {
                self.leave(place);
            }
        }
    }

    /// Gives the lock of a writer back.
    pub(super) fn unlock(self) {
        self.set(FREE);
    }

    /// Leaves the lock of a writer so that no thread gets it any more.
    pub(super) fn give_up(self) {
        self.set(UNRECOVERABLE);
    }

    /// Keeps all threads from getting what `holder` holds: the calling thread, which ends and
    /// leaves references to the data to others.
    pub(super) fn abandon(self, holder: Owner) {
        if Owner::of(self.head.word.load(SeqCst)) == holder {
            self.give_up();
        }
        let step =
            |place: &AtomicU64| place.compare_exchange(holder.word(), LEFT, SeqCst, SeqCst).is_ok();
        if self.readers.iter().filter(|place| step(place)).count() > 0 {
            self.head.left.wake_all();
        }
    }

    fn set(self, state: u64) {
        let was = self.head.word.swap(state, SeqCst);
        debug_assert!(Me::is_thread(Owner::of(was)), "unlocked by another thread");
        if was & WAITERS != 0 {
            futex::wake(futex_half(&self.head.word), u32::MAX);
        }
    }

    fn me(self) -> Result<Owner, LockError> {
        let me = Me::now()?;
        if me.namespace == self.head.namespace() {
            Ok(me.thread)
        } else {
            Err(LockError::ForeignNamespace)
        }
    }

    /// A place in the table that no writer objects to.
    fn enter(self, me: Owner) -> Option<usize> {
        let place = self.sit(me)?;
        if self.head.word.load(SeqCst) == FREE {
            return Some(place);
        }
        self.leave(place);
        None
    }

    /// Signs a free place in the table.
    fn sit(self, me: Owner) -> Option<usize> {
        let first = me.place_in(self.readers.len());
        if self.sign(first, me) {
            return Some(first);
        }
        (first + 1..self.readers.len()).chain(0..first).find(|index| self.sign(*index, me))
    }

    fn sign(self, index: usize, me: Owner) -> bool {
        let place = &self.readers[index];
        if place.load(SeqCst) != FREE {
            return false;
        }
        let bit = 1 << (index % 64);
        if self.head.used.load(SeqCst) & bit == 0 {
            self.head.used.fetch_or(bit, SeqCst);
        }
        place.compare_exchange(FREE, me.word(), SeqCst, SeqCst).is_ok()
    }

    fn wait_to_read(self, me: Owner, mut backoff: Backoff) -> Result<Admitted, LockError> {
        loop {
            let seen = self.head.word.load(SeqCst);
            if seen == FREE {
                if let Some(place) = self.enter(me) {
                    return Ok(Admitted::Reader(place));
                }
                if self.is_full() && self.reclaim() == 0 && self.is_full() {
                    return Err(LockError::TooManyReaders { limit: self.readers.len() });
                }
                continue;
            }
            // A thread that reads again would wait for a writer that waits for it, unless that
            // writer is dead.
            let deadlock = seen != UNRECOVERABLE && self.reads(me);
            let rest =
                if deadlock { Rest::Over } else { self.wait_for_writer(me, seen, &mut backoff)? };
            if rest == Rest::Again {
                continue;
            }
            match self.inherit(me) {
                Some(Taken::FromTheDead) => return Ok(Admitted::HeirOfWriter),
                // The dead writer had changed nothing, so there is nothing to repair: a reader need
                // not write.
                Some(Taken::Given) => self.unlock(),
                None if rest == Rest::Over && self.head.word.load(SeqCst) != FREE => {
                    return Err(if deadlock {
                        LockError::WouldDeadlock
                    } else {
                        LockError::TimedOut
                    });
                }
                None => {}
            }
        }
    }

    fn wait_to_write(self, me: Owner, mut backoff: Backoff) -> Result<Taken, LockError> {
        if self.reads(me) {
            if Owner::of(self.head.word.load(SeqCst)) == me {
                self.unlock();
            }
            return Err(LockError::WouldDeadlock);
        }
        // Once it has slept, a waiter cannot know which others do, so it takes the mark along.
        let mut mark = 0;
        loop {
            let seen = self.head.word.load(SeqCst);
            if Owner::of(seen) == me && seen & PENDING != 0 {
                // Signed already, and there were readers.
                return self.drain(&mut backoff).map(|()| Taken::Given);
            }
            if seen == FREE {
                self.step(FREE, me.word() | PENDING | mark);
                continue;
            }
            let rest = self.wait_for_writer(me, seen, &mut backoff)?;
            mark = WAITERS;
            if rest == Rest::Again {
                continue;
            }
            match self.inherit(me) {
                Some(Taken::FromTheDead) => return Ok(Taken::FromTheDead),
                None if rest == Rest::Over && self.head.word.load(SeqCst) != FREE => {
                    return Err(LockError::TimedOut);
                }
                // From a writer that was PENDING: signed, and there may be readers.
                Some(Taken::Given) | None => {}
            }
        }
    }

    /// Sleeps while the writer that `seen` names has signed.
    fn wait_for_writer(
        self,
        me: Owner,
        seen: u64,
        backoff: &mut Backoff,
    ) -> Result<Rest, LockError> {
        if seen == UNRECOVERABLE {
            return Err(LockError::Unrecoverable);
        }
        if Owner::of(seen) == me {
            return Err(LockError::WouldDeadlock);
        }
        if seen & WAITERS == 0 && backoff.spin() {
            return Ok(Rest::Again);
        }
        if backoff.is_over() {
            return Ok(Rest::Over);
        }
        if seen & WAITERS == 0 && !self.step(seen, seen | WAITERS) {
            return Ok(Rest::Again);
        }
        Ok(backoff.rest(futex_half(&self.head.word), half(seen | WAITERS)))
    }

    /// Takes the word from a writer that has died, if it has. A writer that was PENDING counts as
    /// if it had not written.
    fn inherit(self, me: Owner) -> Option<Taken> {
        let seen = self.head.word.load(SeqCst);
        let writer = Owner::of(seen);
        let dead = writer != Owner::NONE && is_dead(writer, Life::Thread);
        let pending = seen & PENDING;
        (dead && self.step(seen, me.word() | WAITERS | pending)).then_some(if pending == 0 {
            Taken::FromTheDead
        } else {
            Taken::Given
        })
    }

    /// Waits until no reader is left. The word names the caller, PENDING; afterwards as a writer,
    /// or not at all.
    fn drain(self, backoff: &mut Backoff) -> Result<(), LockError> {
        loop {
            let ticket = self.head.left.listen();
            if self.readers_are_gone() {
                self.head.word.fetch_and(!PENDING, SeqCst);
                return Ok(());
            }
            if self.readers.iter().any(|place| place.load(SeqCst) == LEFT) {
                self.unlock();
                return Err(LockError::Unrecoverable);
            }
            if backoff.spin() {
                continue;
            }
            match self.head.left.rest(ticket, backoff) {
                Rest::Again => {}
                Rest::CheckHolders => {
                    self.reclaim();
                }
                Rest::Over => {
                    self.reclaim();
                    if !self.readers_are_gone() {
                        self.unlock();
                        return Err(LockError::TimedOut);
                    }
                }
            }
        }
    }

    fn readers_are_gone(self) -> bool {
        // A reader that does not see the writer has set its bit before the writer signed.
        let mut used = self.head.used.load(SeqCst);
        while used != 0 {
            let index = used.trailing_zeros() as usize;
            let places = self.readers.iter().skip(index).step_by(64);
            if !{ places }.all(|place| place.load(SeqCst) == FREE) {
                return false;
            }
            used &= used - 1;
        }
        true
    }

    fn is_full(self) -> bool {
        self.readers.iter().all(|place| place.load(SeqCst) != FREE)
    }

    fn reads(self, me: Owner) -> bool {
        self.readers.iter().any(|place| place.load(SeqCst) == me.word())
    }

    /// Clears the places of dead readers; returns how many.
    fn reclaim(self) -> usize {
        let dead = self.readers.iter().filter(|place| {
            let seen = place.load(SeqCst);
            // The place is compared with what it was before the look: no other thread loses one.
            Owner::of(seen) != Owner::NONE
                && is_dead(Owner::of(seen), Life::Thread)
                && place.compare_exchange(seen, FREE, SeqCst, SeqCst).is_ok()
        });
        let count = dead.count();
        self.head.reclaimed.fetch_add(count as u64, SeqCst);
        count
    }

    fn step(self, from: u64, to: u64) -> bool {
        self.head.word.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}
